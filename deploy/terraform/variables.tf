variable "region" {
  description = "Region of queues, buckets and secrets (AWS_REGION)"
  type        = string
  default     = "eu-central-1"

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]+$", var.region))
    error_message = "The region must be a name such as eu-central-1, us-gov-west-1 or cn-north-1."
  }
}

variable "environment" {
  description = "Name of the deployment (SEQUENCE_ENVIRONMENT)"
  type        = string
  default     = "production"

  validation {
    condition     = var.environment != "local"
    error_message = "The environment local is reserved for development: its default secrets are public."
  }
  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?$", var.environment))
    error_message = "The environment is part of names of queues and buckets: 1 to 20 of a-z, 0-9 and hyphens."
  }
}

variable "sends_queue" {
  description = "Name of the queue of timed messages (SENDS_QUEUE); null: it carries the environment"
  type        = string
  default     = null

  validation {
    condition     = var.sends_queue == null || can(regex("^[A-Za-z0-9_-]{1,76}$", var.sends_queue))
    error_message = "Use 1 to 76 letters, digits, hyphens or underscores; the dead-letter queue appends -dlq."
  }
}

variable "delivery_results_queue" {
  description = "Queue of delivery results (DELIVERY_RESULTS_QUEUE); null: its name carries the environment"
  type        = string
  default     = null

  validation {
    condition = (
      var.delivery_results_queue == null ||
      can(regex("^[A-Za-z0-9_-]{1,76}$", var.delivery_results_queue))
    )
    error_message = "Use 1 to 76 letters, digits, hyphens or underscores; the dead-letter queue appends -dlq."
  }
}

variable "ses_topic_arn" {
  description = "SNS topic of Amazon SES's bounces and complaints, allowed to write results; null without SES"
  type        = string
  default     = null

  validation {
    condition     = var.ses_topic_arn == null || can(regex("^arn:aws[a-z-]*:sns:", var.ses_topic_arn))
    error_message = "The topic must be the ARN of an SNS topic, or null."
  }
}

variable "alarm_topic_arns" {
  description = "SNS topics that receive alarms; if empty, only the console shows them"
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.alarm_topic_arns : can(regex("^arn:aws[a-z-]*:sns:", arn))])
    error_message = "Each topic must be the ARN of an SNS topic."
  }
}

variable "oidc_provider_arn" {
  description = "The cluster's OIDC provider, through which service accounts assume their roles"
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:oidc-provider/", var.oidc_provider_arn))
    error_message = "The provider must be the ARN of an IAM OIDC provider."
  }
}

variable "oidc_issuer" {
  description = "The same provider's issuer, without https://"
  type        = string

  validation {
    condition     = !startswith(var.oidc_issuer, "https://") && can(regex("^[^/]+", var.oidc_issuer))
    error_message = "The issuer must be given without https://."
  }
}

variable "namespace" {
  description = "The cluster's namespace of deploy/kubernetes"
  type        = string
  default     = "sequences"

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.namespace))
    error_message = "The namespace must be a name of Kubernetes."
  }
}

variable "keda_service_account" {
  description = "namespace:name of KEDA's operator"
  type        = string
  default     = "keda:keda-operator"

  validation {
    condition     = can(regex("^[a-z0-9-]+:[a-z0-9.-]+$", var.keda_service_account))
    error_message = "The account must be namespace:name."
  }
}

variable "external_secrets_service_account" {
  description = "namespace:name of the External Secrets Operator"
  type        = string
  default     = "external-secrets:external-secrets"

  validation {
    condition     = can(regex("^[a-z0-9-]+:[a-z0-9.-]+$", var.external_secrets_service_account))
    error_message = "The account must be namespace:name."
  }
}

variable "oidc_audience" {
  description = "Audience of the tokens of service accounts"
  type        = string
  default     = "sts.amazonaws.com"
}

variable "kms_key_arn" {
  description = "KMS key of queues, buckets and secrets; null: the keys that AWS manages, at no charge"
  type        = string
  default     = null

  validation {
    condition = (
      var.kms_key_arn == null ||
      can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/", var.kms_key_arn))
    )
    error_message = "The key must be the ARN of a KMS key, not of an alias, or null."
  }
}
