# Bucket, database and secrets of a Sightline installation on AWS. The network, and who runs the
# containers, are yours: the policy that this module gives is attached to their role.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.60, < 7.0"
    }
  }
}

# --- telemetry, pictures and logs ------------------------------------------------------------------

resource "aws_s3_bucket" "data" {
  bucket = "${var.name}-data"
  tags   = var.tags
}

resource "aws_s3_bucket_public_access_block" "data" {
  bucket                  = aws_s3_bucket.data.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

# KPIs rely on files that are only ever added: what is overwritten by mistake is still there.
resource "aws_s3_bucket_versioning" "data" {
  bucket = aws_s3_bucket.data.id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "data" {
  bucket = aws_s3_bucket.data.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "aws:kms"
    }
    bucket_key_enabled = true
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "data" {
  bucket = aws_s3_bucket.data.id
  rule {
    id     = "old-versions"
    status = "Enabled"
    filter {}
    noncurrent_version_expiration {
      noncurrent_days = var.keep_old_versions_days
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }
}

data "aws_iam_policy_document" "tls_only" {
  statement {
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.data.arn, "${aws_s3_bucket.data.arn}/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "data" {
  bucket = aws_s3_bucket.data.id
  policy = data.aws_iam_policy_document.tls_only.json
}

# --- the ledger --------------------------------------------------------------------------------------

resource "aws_db_subnet_group" "ledger" {
  name       = "${var.name}-ledger"
  subnet_ids = var.subnet_ids
  tags       = var.tags
}

resource "aws_security_group" "ledger" {
  name        = "${var.name}-ledger"
  description = "PostgreSQL of the ledger, for those who run Sightline"
  vpc_id      = var.vpc_id
  tags        = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "ledger" {
  for_each                     = toset(var.client_security_group_ids)
  security_group_id            = aws_security_group.ledger.id
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
}

resource "aws_db_parameter_group" "ledger" {
  name   = "${var.name}-ledger"
  family = "postgres17"
  tags   = var.tags
  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }
  # On as shipped, and said here because the ledger relies on it.
  parameter {
    name  = "synchronous_commit"
    value = "on"
  }
}

resource "aws_db_instance" "ledger" {
  identifier                  = "${var.name}-ledger"
  engine                      = "postgres"
  engine_version              = "17"
  instance_class              = var.database_class
  allocated_storage           = var.database_gb
  max_allocated_storage       = 4 * var.database_gb
  storage_encrypted           = true
  db_name                     = "sightline"
  username                    = "sightline"
  manage_master_user_password = true # made and turned over by Secrets Manager: it is in no state file
  db_subnet_group_name        = aws_db_subnet_group.ledger.name
  vpc_security_group_ids      = [aws_security_group.ledger.id]
  parameter_group_name        = aws_db_parameter_group.ledger.name
  publicly_accessible         = false
  multi_az                    = var.database_in_two_zones
  backup_retention_period     = 14
  deletion_protection         = true
  copy_tags_to_snapshot       = true
  final_snapshot_identifier   = "${var.name}-ledger-final"
  tags                        = var.tags
}

# --- secrets -----------------------------------------------------------------------------------------

# Only the places: their values are put in by hand or by whoever makes them, and are in no state file.
resource "aws_secretsmanager_secret" "told" {
  for_each                = toset(var.secrets)
  name                    = "${var.name}/${each.value}"
  recovery_window_in_days = 7
  tags                    = var.tags
}

# --- who may use them --------------------------------------------------------------------------------

data "aws_iam_policy_document" "use" {
  statement {
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.data.arn]
  }
  statement {
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = ["${aws_s3_bucket.data.arn}/*"]
  }
  statement {
    actions = ["secretsmanager:GetSecretValue"]
    resources = concat(
      [for secret in aws_secretsmanager_secret.told : secret.arn],
      [aws_db_instance.ledger.master_user_secret[0].secret_arn],
    )
  }
}

resource "aws_iam_policy" "use" {
  name   = "${var.name}-use"
  policy = data.aws_iam_policy_document.use.json
  tags   = var.tags
}
