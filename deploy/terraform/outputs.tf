output "settings" {
  description = "For the overlay's ConfigMap sequence-settings"
  value = {
    SEQUENCE_ENVIRONMENT   = var.environment
    AWS_REGION             = var.region
    SENDS_QUEUE            = aws_sqs_queue.queue["sends"].name
    DELIVERY_RESULTS_QUEUE = aws_sqs_queue.queue["delivery_results"].name
    ASSET_STORE            = "s3://${aws_s3_bucket.bucket["assets"].bucket}/${var.environment}"
    COMPUTE_LOGS_BUCKET    = aws_s3_bucket.bucket["compute-logs"].bucket
  }
}

output "roles" {
  description = "For the service accounts' annotation eks.amazonaws.com/role-arn"
  value       = { for name, role in aws_iam_role.role : name => role.arn }
}

output "secrets" {
  description = "The secrets to fill in, with their keys"
  value       = { for name, secret in aws_secretsmanager_secret.process : secret.name => local.secrets[name] }
}
