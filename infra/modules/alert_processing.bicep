// Keeps the notification that an alert on a finding is resolved from everybody: it would come within the
// hour, however the finding ends. The alert itself still becomes Resolved.
// https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-processing-rules

@description('Required. The name.')
param name string

@description('Required. Tags.')
param tags { *: string }

@description('Required. The workspace on which the alerts fire; it must be in the subscription of this resource group.')
param workspaceResourceId string

@description('Required. The resource ids of the alert rules on findings; a condition takes five values.')
@maxLength(5)
param ruleIds string[]

resource resolved 'Microsoft.AlertsManagement/actionRules@2021-08-08' = {
  name: name
  location: 'global'
  tags: tags
  properties: {
    description: 'An alert on a finding resolves because time passes, so nobody is notified of it.'
    enabled: true
    scopes: [workspaceResourceId]
    conditions: [
      {
        field: 'MonitorCondition'
        operator: 'Equals'
        values: ['Resolved']
      }
      {
        field: 'AlertRuleId'
        operator: 'Equals'
        values: ruleIds
      }
    ]
    actions: [
      {
        actionType: 'RemoveAllActionGroups'
      }
    ]
  }
}
