# A message's age counts from its dispatch, up to 900 s before its mail is due: at half an hour the mail is
# late by at least a quarter of an hour.
resource "aws_cloudwatch_metric_alarm" "old_messages" {
  for_each            = { sends = 1800, delivery_results = 900 }
  alarm_name          = "${local.queues[each.key]}-late"
  alarm_description   = "Messages of ${local.queues[each.key]} wait too long: see docs/runbook.md"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = aws_sqs_queue.queue[each.key].name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  threshold           = each.value
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
}

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  for_each            = local.queues
  alarm_name          = "${each.value}-dead-letters"
  alarm_description   = "Messages that could not be processed: see docs/runbook.md, Dead letters"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.dead_letters[each.key].name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
}
