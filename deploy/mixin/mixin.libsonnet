// A monitoring mixin: the rules and dashboards of cwp-exporter for those who build theirs with
// Jsonnet 0.18 or newer. The rules, and the defaults of `_config`, are those of the chart:
// values.yaml describes each setting below `prometheusRule`.
local source = std.parseYaml(importstr '../helm/cwp-exporter/files/rules.yml');
local chinese = std.parseYaml(importstr '../helm/cwp-exporter/files/rules.zh.yml');
local values = std.parseYaml(importstr '../helm/cwp-exporter/values.yaml').prometheusRule;
local ofObject = ['enabled', 'namespace', 'labels', 'annotations'];

{
  local config = self._config,

  _config+:: {
    [name]: values[name]
    for name in std.objectFields(values)
    if !std.member(ofObject, name)
  } + {
    // Whether the dashboards show the variables for several clusters and namespaces.
    showMultiCluster: false,
  },

  local accountLabels = std.join(', ', ['label_' + name for name in config.accountLabels]),
  local texts = values.thresholds + config.thresholds + {
    selector: config.selector,
    accountLabels: accountLabels,
    grafanaUrl: std.rstripChars(config.grafanaUrl, '/'),
    runbooksUrl: std.rstripChars(config.runbooksUrl, '/'),
  },

  // A text with the settings in their places. `$` begins variables of Prometheus too.
  local withSettings(text, further={}) =
    local parts = std.split(text, '$'), all = texts + further;
    std.join('', [parts[0]] + [
      if std.startsWith(part, '{')
      then
        local ends = std.splitLimit(part[1:], '}', 1);
        std.toString(all[ends[0]]) + ends[1]
      else '$' + part
      for part in parts[1:]
    ]),

  local isOfAccount(rule) =
    local variables = std.split(rule.annotations.description, '$');
    std.length([name for name in variables if std.startsWith(name, 'labels.account')]) > 0,

  // The texts of an alert in the language that is set.
  local annotationsOf(rule) =
    if config.language == 'zh'
    then rule.annotations + chinese[rule.alert + '/' + rule.labels.severity] + {
      runbook_url: std.strReplace(rule.annotations.runbook_url, '${runbooksUrl}', '${runbooksUrl}/zh'),
    }
    else rule.annotations,

  // Some alerts are there once for each severity, and can be told apart by it.
  local namesOf(rule) = [rule.alert + '/' + rule.labels.severity, rule.alert],
  local chosen(setting, rule) = [setting[name] for name in namesOf(rule) if std.objectHas(setting, name)],

  local recording(rule) = rule { expr: withSettings(rule.expr) },

  local alert(rule) = {
    [name]: rule[name]
    for name in std.objectFields(rule)
    if name != 'keep_firing_for' || config.keepFiringFor
  } {
    expr:
      local expr = withSettings(rule.expr);
      if accountLabels != '' && isOfAccount(rule)
      then withSettings(source.accountLabels.alert, { expr: expr })
      else expr,
    [if chosen(config.pendingPeriods, rule) != [] then 'for']: chosen(config.pendingPeriods, rule)[0],
    labels: config.additionalRuleLabels + rule.labels + (
      local severities = chosen(config.severities, rule);
      if severities != [] then { severity: severities[0] } else {}
    ),
    annotations: config.additionalRuleAnnotations + {
      [name]: withSettings(annotationsOf(rule)[name])
      for name in std.objectFields(rule.annotations)
      // A link to nowhere is left out.
      if std.foldl(
        function(leads, url) leads && (texts[url] != '' || !std.startsWith(rule.annotations[name], '${' + url)),
        ['grafanaUrl', 'runbooksUrl'],
        true
      )
    },
  },

  // What the configuration names must exist.
  local alerts = std.set([
    name
    for group in source.groups
    for rule in group.rules
    if std.objectHas(rule, 'alert')
    for name in namesOf(rule)
  ]),
  local groups = (if accountLabels != '' then [source.accountLabels.group] else []) + source.groups,
  local known(setting, names, all) = std.foldl(
    function(ok, name)
      ok && std.member(all, name)
      || error '%s names "%s", which is not there. There are: %s' % [setting, name, std.join(', ', all)],
    names,
    true
  ),
  assert known('language', [config.language], ['en', 'zh']),
  assert known('disabled', config.disabled, alerts),
  assert known('severities', std.objectFields(config.severities), alerts),
  assert known('pendingPeriods', std.objectFields(config.pendingPeriods), alerts),
  assert known('groupIntervals', std.objectFields(config.groupIntervals), [group.name for group in groups]),
  assert known('thresholds', std.objectFields(config.thresholds), std.objectFields(values.thresholds)),
  assert std.foldl(
    function(ok, name) ok && std.isNumber(texts[name]) || error 'thresholds.%s must be a number' % name,
    std.objectFields(values.thresholds),
    true
  ),

  local groupsOf(suffix, rulesOf) = [
    group { name: group.name + suffix, rules: rules } + (
      if std.objectHas(config.groupIntervals, group.name)
      then { interval: config.groupIntervals[group.name] }
      else {}
    )
    for group in groups
    for rules in [rulesOf(group)]
    if rules != []
  ],

  prometheusAlerts+:: {
    groups+: groupsOf('', function(group) [
      alert(rule)
      for rule in group.rules
      if std.objectHas(rule, 'alert') && std.setInter(std.set(namesOf(rule)), std.set(config.disabled)) == []
    ]) + config.additionalGroups,
  },

  // Groups of names of their own, so that both fit into one file.
  prometheusRules+:: {
    groups+: groupsOf('.rules', function(group) [
      recording(rule)
      for rule in group.rules
      if std.objectHas(rule, 'record')
    ]),
  },

  // Grafana cannot hide a variable that has one value only.
  local dashboard(json) = json {
    templating+: {
      list: [
        if config.showMultiCluster && std.member(['cluster', 'namespace'], variable.name)
        then variable { hide: 0 }
        else variable
        for variable in json.templating.list
      ],
    },
  },

  grafanaDashboards+:: {
    'cwp-licences.json': dashboard(import '../../grafana/licences.json'),
    'cwp-exporter.json': dashboard(import '../../grafana/exporter.json'),
  },
}
