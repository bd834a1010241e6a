# The queues that `sequences stack up` creates locally. A test compares the numbers with
# sequence_store/sqs.py.
locals {
  queues = {
    sends            = coalesce(var.sends_queue, "sequence-${var.environment}-sends")
    delivery_results = coalesce(var.delivery_results_queue, "sequence-${var.environment}-delivery-results")
  }
  # The programs refuse a queue whose tag names another environment.
  queue_tags = { sequence_environment = var.environment }
}

# One state belongs to one environment: a plan with another one fails here instead of replacing the
# queues. Use another state for it (backend.tf.example). To destroy the environment, remove this block
# first.
resource "terraform_data" "environment" {
  triggers_replace = var.environment
  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_sqs_queue" "queue" {
  for_each                   = local.queues
  name                       = each.value
  visibility_timeout_seconds = 180
  message_retention_seconds  = 345600 # 4 days
  sqs_managed_sse_enabled    = var.kms_key_arn == null ? true : null
  kms_master_key_id          = var.kms_key_arn
  tags                       = local.queue_tags
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters[each.key].arn
    maxReceiveCount     = 5
  })
}

# A dead letter keeps the age of its message, so the retention of its queue must be longer.
resource "aws_sqs_queue" "dead_letters" {
  for_each                  = local.queues
  name                      = "${each.value}-dlq"
  message_retention_seconds = 1209600 # 14 days
  sqs_managed_sse_enabled   = var.kms_key_arn == null ? true : null
  kms_master_key_id         = var.kms_key_arn
  tags                      = local.queue_tags
}

resource "aws_sqs_queue_redrive_allow_policy" "dead_letters" {
  for_each  = local.queues
  queue_url = aws_sqs_queue.dead_letters[each.key].id
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.queue[each.key].arn]
  })
}

# Denies unencrypted requests, and allows Amazon SES to write to the results queue through its topic.
data "aws_iam_policy_document" "queue" {
  for_each = local.queues

  statement {
    sid       = "EncryptedOnly"
    effect    = "Deny"
    actions   = ["sqs:*"]
    resources = [aws_sqs_queue.queue[each.key].arn]
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

  dynamic "statement" {
    for_each = each.key == "delivery_results" && var.ses_topic_arn != null ? [var.ses_topic_arn] : []
    content {
      sid       = "SesReports"
      actions   = ["sqs:SendMessage"]
      resources = [aws_sqs_queue.queue[each.key].arn]
      principals {
        type        = "Service"
        identifiers = ["sns.amazonaws.com"]
      }
      condition {
        test     = "ArnEquals"
        variable = "aws:SourceArn"
        values   = [statement.value]
      }
    }
  }
}

resource "aws_sqs_queue_policy" "queue" {
  for_each  = local.queues
  queue_url = aws_sqs_queue.queue[each.key].id
  policy    = data.aws_iam_policy_document.queue[each.key].json
}

data "aws_iam_policy_document" "dead_letters" {
  for_each = local.queues

  statement {
    sid       = "EncryptedOnly"
    effect    = "Deny"
    actions   = ["sqs:*"]
    resources = [aws_sqs_queue.dead_letters[each.key].arn]
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

resource "aws_sqs_queue_policy" "dead_letters" {
  for_each  = local.queues
  queue_url = aws_sqs_queue.dead_letters[each.key].id
  policy    = data.aws_iam_policy_document.dead_letters[each.key].json
}

resource "aws_sns_topic_subscription" "ses" {
  count     = var.ses_topic_arn == null ? 0 : 1
  topic_arn = var.ses_topic_arn
  protocol  = "sqs"
  endpoint  = aws_sqs_queue.queue["delivery_results"].arn
}
