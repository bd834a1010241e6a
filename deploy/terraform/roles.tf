# One role a process, for its service account alone, with what policies/ says and nothing else. Migrations and the API
# have none: they call nothing of Amazon's.
locals {
  roles = {
    worker           = "${var.namespace}:sequence-worker"
    pipeline         = "${var.namespace}:sequence-pipeline"
    dagster          = "${var.namespace}:sequence-dagster"
    metrics          = "${var.namespace}:sequence-readonly"
    keda             = var.keda_service_account
    external-secrets = var.external_secrets_service_account
  }
  arns = {
    sends        = aws_sqs_queue.queue["sends"].arn
    sends_dlq    = aws_sqs_queue.dead_letters["sends"].arn
    results      = aws_sqs_queue.queue["delivery_results"].arn
    results_dlq  = aws_sqs_queue.dead_letters["delivery_results"].arn
    assets       = aws_s3_bucket.bucket["assets"].arn
    compute_logs = aws_s3_bucket.bucket["compute-logs"].arn
    secrets      = "arn:aws:secretsmanager:${var.region}:${data.aws_caller_identity.current.account_id}:secret"
    ses          = "arn:aws:ses:*:${data.aws_caller_identity.current.account_id}"
    environment  = var.environment
  }
}

data "aws_iam_policy_document" "trust" {
  for_each = local.roles
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    principals {
      type        = "Federated"
      identifiers = [var.oidc_provider_arn]
    }
    condition {
      test     = "StringEquals"
      variable = "${var.oidc_issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "${var.oidc_issuer}:sub"
      values   = ["system:serviceaccount:${each.value}"]
    }
  }
}

resource "aws_iam_role" "role" {
  for_each           = local.roles
  name               = "sequences-${var.environment}-${each.key}"
  assume_role_policy = data.aws_iam_policy_document.trust[each.key].json
}

resource "aws_iam_role_policy" "role" {
  for_each = local.roles
  name     = "least"
  role     = aws_iam_role.role[each.key].id
  policy   = templatefile("${path.module}/policies/${each.key}.json", local.arns)
}
