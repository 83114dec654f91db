variable "name" {
  description = "Beginning of every name, for example sightline-prod."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}$", var.name))
    error_message = "Lower-case letters, digits and hyphens, 3 to 31 of them."
  }
}

variable "vpc_id" {
  description = "Network of the database."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets of the database, in two zones at least."
  type        = list(string)
  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "A database needs subnets in two zones."
  }
}

variable "client_security_group_ids" {
  description = "Security groups of what runs Sightline; nobody else reaches the database."
  type        = list(string)
}

variable "secrets" {
  description = "Names of secrets that jobs are told by, as in aws-sm://NAME/SECRET#KEY."
  type        = list(string)
  default     = ["nats", "command-key"]
}

variable "database_class" {
  description = "Size of the database."
  type        = string
  default     = "db.t4g.medium"
}

variable "database_gb" {
  description = "Disk of the database; it grows to four times this by itself."
  type        = number
  default     = 50
}

variable "database_in_two_zones" {
  description = "Keep a second copy of the database in another zone."
  type        = bool
  default     = true
}

variable "keep_old_versions_days" {
  description = "Days for which what was overwritten or deleted in the bucket can be got back."
  type        = number
  default     = 90
}

variable "tags" {
  description = "Of everything that is made."
  type        = map(string)
  default     = {}
}
