{{/*
The groups of files/rules.yml as JSON {"groups": []}, with the settings of
.Values.prometheusRule in them. deploy/mixin does the same for Jsonnet.
*/}}
{{- define "cwp-exporter.rules" -}}
{{- $settings := .Values.prometheusRule -}}
{{- $source := .Files.Get "files/rules.yml" | fromYaml -}}
{{- if not $source.groups -}}
{{- fail "the chart's files/rules.yml is missing or has no rules: take the chart from its archive, or all of its folder" -}}
{{- end -}}
{{- $texts := dict -}}
{{- if eq $settings.language "zh" -}}
{{- $texts = .Files.Get "files/rules.zh.yml" | fromYaml -}}
{{- end -}}
{{- $accountLabels := list -}}
{{- range $settings.accountLabels -}}
{{- $accountLabels = append $accountLabels (printf "label_%s" .) -}}
{{- end -}}
{{- $groups := list -}}
{{- $alerts := list -}}
{{- $ids := list -}}
{{- $names := list -}}
{{- $all := $source.groups -}}
{{- if $accountLabels -}}
{{- $all = prepend $all $source.accountLabels.group -}}
{{- end -}}
{{- range $group := $all -}}
{{- $names = append $names $group.name -}}
{{- $rules := list -}}
{{- range $rule := $group.rules -}}
{{- $id := "" -}}
{{- if $rule.alert -}}
{{- /* Some alerts are there once for each severity, and can be told apart by it. */ -}}
{{- $id = printf "%s/%s" $rule.alert $rule.labels.severity -}}
{{- $alerts = append $alerts $rule.alert -}}
{{- $ids = append $ids $id -}}
{{- if eq $settings.language "zh" -}}
{{- $_ := index $texts $id | required (printf "files/rules.zh.yml has no %s" $id) | mergeOverwrite $rule.annotations -}}
{{- $_ := set $rule.annotations "runbook_url" (replace "${runbooksUrl}" "${runbooksUrl}/zh" $rule.annotations.runbook_url) -}}
{{- end -}}
{{- /* A link to nowhere is left out. */ -}}
{{- range $key, $text := $rule.annotations -}}
{{- range $url := list "grafanaUrl" "runbooksUrl" -}}
{{- if and (hasPrefix (printf "${%s}" $url) $text) (not (index $settings $url)) -}}
{{- $_ := unset $rule.annotations $key -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with coalesce (index $settings.severities $id) (index $settings.severities $rule.alert) -}}
{{- $_ := set $rule.labels "severity" . -}}
{{- end -}}
{{- with coalesce (index $settings.pendingPeriods $id) (index $settings.pendingPeriods $rule.alert) -}}
{{- $_ := set $rule "for" . -}}
{{- end -}}
{{- if and $accountLabels (contains "$labels.account" $rule.annotations.description) -}}
{{- $_ := set $rule "expr" (replace "${expr}" $rule.expr $source.accountLabels.alert) -}}
{{- end -}}
{{- if not $settings.keepFiringFor -}}
{{- $_ := unset $rule "keep_firing_for" -}}
{{- end -}}
{{- end -}}
{{- if not (or (has $rule.alert $settings.disabled) (has $id $settings.disabled)) -}}
{{- $rules = append $rules $rule -}}
{{- end -}}
{{- end -}}
{{- with index $settings.groupIntervals $group.name -}}
{{- $_ := set $group "interval" . -}}
{{- end -}}
{{- if $rules -}}
{{- $groups = append $groups (set $group "rules" $rules) -}}
{{- end -}}
{{- end -}}
{{- range concat $settings.disabled (keys $settings.severities) (keys $settings.pendingPeriods) -}}
{{- if not (or (has . $alerts) (has . $ids)) -}}
{{- fail (printf "prometheusRule: disabled, severities or pendingPeriods name %q, which is no alert. There are: %s" . (uniq $alerts | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- range keys $settings.groupIntervals -}}
{{- if not (has . $names) -}}
{{- fail (printf "prometheusRule: groupIntervals name %q, which is no group. There are: %s" . (join ", " $names)) -}}
{{- end -}}
{{- end -}}
{{- /* Replaced in JSON, where no value can end the text that it is put into. */ -}}
{{- $replacements := dict "selector" (include "cwp-exporter.ruleSelector" .) "accountLabels" (join ", " $accountLabels) -}}
{{- range list "grafanaUrl" "runbooksUrl" -}}
{{- $_ := set $replacements . (trimSuffix "/" (index $settings .)) -}}
{{- end -}}
{{- $json := dict "groups" $groups | toJson -}}
{{- range $name, $value := merge $replacements $settings.thresholds -}}
{{- $json = replace (printf "${%s}" $name) (toJson $value | trimPrefix "\"" | trimSuffix "\"") $json -}}
{{- end -}}
{{- $groups = (fromJson $json).groups -}}
{{- range $group := $groups -}}
{{- range $rule := $group.rules -}}
{{- if $rule.alert -}}
{{- $_ := merge $rule.labels $settings.additionalRuleLabels -}}
{{- $_ := merge $rule.annotations $settings.additionalRuleAnnotations -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- dict "groups" (concat $groups $settings.additionalGroups) | toJson -}}
{{- end -}}

{{/*
What selects the exporter's targets in metrics that others have too. As long as nobody has chosen
it, it follows the job of the ServiceMonitor. With the namespace, which the Operator makes a label of
each target, another release of the same name does not hide that this one is absent.
*/}}
{{- define "cwp-exporter.ruleSelector" -}}
{{- $chosen := ne .Values.prometheusRule.selector `job="cwp"` -}}
{{- if or $chosen (not .Values.serviceMonitor.enabled) -}}
{{- .Values.prometheusRule.selector -}}
{{- else if .Values.serviceMonitor.jobLabel -}}
{{- fail "serviceMonitor.jobLabel names the job by a label of the Service: set prometheusRule.selector to what selects it, such as job=\"NAME\"" -}}
{{- else -}}
{{- printf "job=%q,namespace=%q" (include "cwp-exporter.jobName" .) (include "cwp-exporter.namespace" .) -}}
{{- end -}}
{{- end -}}
