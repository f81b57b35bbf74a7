// Two alert rules: one tells of findings, the other that nothing watches any more. They query as an
// identity of their own, not with the rights that whoever deployed them had at the time.

@description('Required. What the names of the rules end in.')
param token string

@description('Required. The region of the workspace.')
param location string

@description('Required. Tags.')
param tags { *: string }

@description('Required. The workspace that holds the tables.')
param workspaceResourceId string

@description('Required. The resource id of the identity that the rules query as.')
param identityId string

@description('Required. The ids of the workspaces that are watched.')
param workspaceIds string[]

@description('Required. Who is told by e-mail; nobody if this is empty.')
param email string

resource recipients 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(email)) {
  name: 'ag-impact-${token}'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'mi-impact'
    emailReceivers: [
      {
        name: 'email'
        emailAddress: email
        useCommonAlertSchema: true
      }
    ]
  }
}

var actions = {
  actionGroups: empty(email) ? [] : [recipients.id]
}

resource findings 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: 'alert-impact-findings-${token}'
  location: location
  tags: tags
  kind: 'LogAlert'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    displayName: 'Managed identity impact: finding'
    description: 'A managed identity signed in to Key Vault or Storage and then changed Azure. ManagedIdentityImpact() in the workspace has the details.'
    enabled: true
    severity: 2
    scopes: [workspaceResourceId]
    evaluationFrequency: 'PT15M'
    windowSize: 'PT30M' // twice as long, so that a row that is slow to arrive falls into one
    overrideQueryTimeRange: 'P2D' // a row keeps its time, however late it is delivered
    skipQueryValidation: true // a new table cannot be queried at once
    autoMitigate: true
    criteria: {
      allOf: [
        {
          query: loadTextContent('../queries/findings_alert.kql')
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          dimensions: [
            // An alert of its own for each revision of each finding, with what names it.
            for column in ['FindingId', 'Revision', 'Identity', 'ResourceGroupName']: {
              name: column
              operator: 'Include'
              values: ['*']
            }
          ]
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: actions
  }
}

resource silence 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: 'alert-impact-silence-${token}'
  location: location
  tags: tags
  kind: 'LogAlert'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    displayName: 'Managed identity impact: nothing watches'
    description: 'For three hours a workspace has not been examined. ManagedIdentityImpactRuns_CL and the function app\'s log say why.'
    enabled: true
    severity: 1
    scopes: [workspaceResourceId]
    evaluationFrequency: 'PT1H'
    windowSize: 'PT3H'
    skipQueryValidation: true
    autoMitigate: true
    criteria: {
      allOf: [
        {
          // No dimensions: where there are no rows there would be nothing to count.
          query: replace(loadTextContent('../queries/silence_alert.kql'), '{workspaceIds}', join(workspaceIds, '", "'))
          timeAggregation: 'Count'
          operator: 'LessThan'
          threshold: length(workspaceIds)
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: actions
  }
}
