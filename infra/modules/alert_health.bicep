// Alerts when an alert rule cannot query, and when Azure has disabled one. Both come from the activity
// log, which needs no query and no identity.
// https://learn.microsoft.com/azure/azure-monitor/alerts/log-alert-rule-health
// https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-troubleshoot-log

@description('Required. The suffix of the names.')
param token string

@description('Required. Tags.')
param tags { *: string }

@description('Required. The resource ids of the alert rules to watch.')
param ruleIds string[]

@description('Required. The resource ids of the action groups.')
param actionGroupResourceIds string[]

var actions = {
  actionGroups: map(actionGroupResourceIds, id => { actionGroupId: id })
}

resource unhealthy 'Microsoft.Insights/activityLogAlerts@2020-10-01' = {
  name: 'alert-impact-rule-health-${token}'
  location: 'global'
  tags: tags
  properties: {
    description: 'An alert rule of the managed identity detection cannot query the workspace, so it reports nothing. Its page Resource health says why.'
    enabled: true
    scopes: ruleIds
    condition: {
      allOf: [
        {
          field: 'category'
          equals: 'ResourceHealth'
        }
        {
          field: 'status'
          equals: 'Active'
        }
        {
          // A new rule is Unknown until its first evaluation.
          anyOf: [
            {
              field: 'properties.currentHealthStatus'
              equals: 'Unavailable'
            }
            {
              field: 'properties.currentHealthStatus'
              equals: 'Degraded'
            }
          ]
        }
      ]
    }
    actions: actions
  }
}

resource disabled 'Microsoft.Insights/activityLogAlerts@2020-10-01' = {
  name: 'alert-impact-rule-disabled-${token}'
  location: 'global'
  tags: tags
  properties: {
    description: 'Azure has disabled an alert rule of the managed identity detection, because its query failed for a week. Deploy again to enable it.'
    enabled: true
    scopes: ruleIds
    condition: {
      allOf: [
        {
          field: 'category'
          equals: 'Administrative'
        }
        {
          field: 'operationName'
          equals: 'Microsoft.Insights/ScheduledQueryRules/disable/action'
        }
      ]
    }
    actions: actions
  }
}
