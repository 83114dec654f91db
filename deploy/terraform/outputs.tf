output "bucket" {
  description = "For SIGHTLINE_SOURCE=s3://BUCKET/PREFIX."
  value       = aws_s3_bucket.data.id
}

output "database_address" {
  description = "Host and port, for SIGHTLINE_LEDGER=postgresql://USER@HOST:PORT/sightline?sslmode=verify-full."
  value       = aws_db_instance.ledger.endpoint
}

output "database_secret_arn" {
  description = "Secret with user and password of the database."
  value       = aws_db_instance.ledger.master_user_secret[0].secret_arn
}

output "secret_names" {
  description = "For references such as aws-sm://NAME#KEY."
  value       = { for name, secret in aws_secretsmanager_secret.told : name => secret.name }
}

output "policy_arn" {
  description = "Attach it to the role of what runs Sightline."
  value       = aws_iam_policy.use.arn
}
