# One secret a process, a JSON object with the keys that secrets.json names. A person puts the values in
# (docs/kubernetes.md), so that no state file holds them.
locals {
  secrets = jsondecode(file("${path.module}/secrets.json"))
}

resource "aws_secretsmanager_secret" "process" {
  for_each                = local.secrets
  name                    = "sequences/${var.environment}/${each.key}"
  description             = "Keys: ${join(", ", each.value)}"
  recovery_window_in_days = 30
}
