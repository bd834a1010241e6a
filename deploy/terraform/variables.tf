variable "region" {
  description = "Region of queues, buckets and secrets (AWS_REGION)"
  type        = string
  default     = "eu-central-1"
}

variable "environment" {
  description = "Name of the deployment (SEQUENCE_ENVIRONMENT)"
  type        = string
  default     = "production"

  validation {
    condition     = var.environment != "local"
    error_message = "The environment local is reserved for development: its default secrets are public."
  }
}

variable "sends_queue" {
  description = "Name of the queue of timed messages (SENDS_QUEUE)"
  type        = string
  default     = "sequence-sends"
}

variable "delivery_results_queue" {
  description = "Name of the queue of delivery results (DELIVERY_RESULTS_QUEUE)"
  type        = string
  default     = "sequence-delivery-results"
}

variable "ses_topic_arn" {
  description = "SNS topic of Amazon SES's bounces and complaints, allowed to write results; null without SES"
  type        = string
  default     = null
}

variable "alarm_topic_arns" {
  description = "SNS topics that receive alarms; if empty, only the console shows them"
  type        = list(string)
  default     = []
}

variable "oidc_provider_arn" {
  description = "The cluster's OIDC provider, through which service accounts assume their roles"
  type        = string
}

variable "oidc_issuer" {
  description = "The same provider's issuer, without https://"
  type        = string
}

variable "namespace" {
  description = "The cluster's namespace of deploy/kubernetes"
  type        = string
  default     = "sequences"
}

variable "keda_service_account" {
  description = "namespace:name of KEDA's operator"
  type        = string
  default     = "keda:keda-operator"
}

variable "external_secrets_service_account" {
  description = "namespace:name of the External Secrets Operator"
  type        = string
  default     = "external-secrets:external-secrets"
}
