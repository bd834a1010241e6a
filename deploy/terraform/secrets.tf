# One secret per process: a JSON object with the keys that secrets.json lists. A person fills in the values
# (docs/kubernetes.md), so no state file contains them.
locals {
  secrets = jsondecode(file("${path.module}/secrets.json"))
}

resource "aws_secretsmanager_secret" "process" {
  for_each                = local.secrets
  name                    = "sequences/${var.environment}/${each.key}"
  description             = "Keys: ${join(", ", each.value)}"
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = 30
}
