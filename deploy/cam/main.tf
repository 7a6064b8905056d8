# What the exporter needs, for Terraform or OpenTofu: a policy, and a role that
# has it. Attach the policy to a sub-account's user instead where the exporter has a key.

terraform {
  required_version = ">= 1.3"
  required_providers {
    tencentcloud = {
      source  = "tencentcloudstack/tencentcloud"
      version = ">= 1.82.49"
    }
  }
}

variable "trusted" {
  description = "Who may assume the role: a service, such as cvm.qcloud.com for instances, or the uin of an account."
  type        = string
  default     = "cvm.qcloud.com"
}

variable "policy" {
  description = "full: for all collectors. least: for the counts of licences, without orders and their deadlines."
  type        = string
  default     = "full"

  validation {
    condition     = contains(["full", "least"], var.policy)
    error_message = "The policy is full or least."
  }
}

locals {
  policy_file = var.policy == "least" ? "cam-policy-least.json" : "cam-policy.json"
  by_account = can(regex("^[0-9]+$", var.trusted))
}

resource "tencentcloud_cam_policy" "cwp_exporter" {
  name        = "CwpExporter"
  description = "Lets cwp-exporter read licences and orders, and change nothing."
  document    = file("${path.module}/../${local.policy_file}")
}

resource "tencentcloud_cam_role" "cwp_exporter" {
  name        = "CwpExporter"
  description = "cwp-exporter"
  document = jsonencode({
    version = "2.0"
    statement = [{
      effect    = "allow"
      action    = ["name/sts:AssumeRole"]
      principal = local.by_account ? { qcs = ["qcs::cam::uin/${var.trusted}:root"] } : { service = [var.trusted] }
    }]
  })
}

resource "tencentcloud_cam_role_policy_attachment" "cwp_exporter" {
  role_id   = tencentcloud_cam_role.cwp_exporter.id
  policy_id = tencentcloud_cam_policy.cwp_exporter.id
}

output "role_arn" {
  description = "What accounts[].credentials.role_arn is to be for assume_role."
  value       = tencentcloud_cam_role.cwp_exporter.role_arn
}
