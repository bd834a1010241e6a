# One role per process, for its service account only, with only the permissions in policies/. Migrations and
# the API call no AWS service and have no role.
data "aws_partition" "current" {} # aws, aws-us-gov or aws-cn

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
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
    secrets      = "arn:${local.partition}:secretsmanager:${var.region}:${local.account}:secret"
    ses          = "arn:${local.partition}:ses:*:${local.account}"
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
      values   = [var.oidc_audience]
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

# With a key of your own, a role that uses the queues, the buckets or the secrets also needs the key.
data "aws_iam_policy_document" "key" {
  count = var.kms_key_arn == null ? 0 : 1
  statement {
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [var.kms_key_arn]
  }
}

resource "aws_iam_role_policy" "key" {
  for_each = var.kms_key_arn == null ? {} : local.roles
  name     = "key"
  role     = aws_iam_role.role[each.key].id
  policy   = data.aws_iam_policy_document.key[0].json
}
