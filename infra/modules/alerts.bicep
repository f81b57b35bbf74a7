// Alert rules for findings, one for each severity, and one for silence. They query with an identity of
// their own, not with the rights of the person who deployed them.

@description('Required. The suffix of the rules\' names.')
param token string

@description('Required. The region of the workspace.')
param location string

@description('Required. Tags.')
param tags { *: string }

@description('Required. The workspace that holds the tables.')
param workspaceResourceId string

@description('Required. The resource id of the identity that the rules query with.')
param identityId string

@description('Required. The ids of the watched workspaces.')
param workspaceIds string[]

@description('Required. The lowest suggested severity of a finding that raises an alert.')
param leastSeverity 'Informational' | 'Low' | 'Medium' | 'High'

@description('Required. The e-mail address for alerts; empty for none.')
param email string

@description('Required. The resource id of an existing action group for alerts; empty for none.')
param actionGroupId string

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
  actionGroups: concat(empty(email) ? [] : [recipients.id], empty(actionGroupId) ? [] : [actionGroupId])
}

// The severities of findings, the highest first, and Azure Monitor's: Error, Warning, Informational and
// Verbose. A rule has one severity, so each of them has a rule.
var severities = [
  { finding: 'High', alert: 1 }
  { finding: 'Medium', alert: 2 }
  { finding: 'Low', alert: 3 }
  { finding: 'Informational', alert: 4 }
]
var alerted = take(severities, indexOf(map(severities, each => each.finding), leastSeverity) + 1)

resource findings 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for severity in alerted: {
    name: 'alert-impact-findings-${toLower(severity.finding)}-${token}'
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
      displayName: 'Managed identity impact: finding (${severity.finding})'
      description: 'A managed identity signed in to Key Vault or Storage and then changed Azure. In the workspace, ManagedIdentityImpact() has the details, and ManagedIdentityActivity("<FindingId>") what the identity did.'
      enabled: true
      severity: severity.alert
      scopes: [workspaceResourceId]
      evaluationFrequency: 'PT15M'
      windowSize: 'PT30M' // twice as long, so that a row that is slow to arrive falls into one
      overrideQueryTimeRange: 'P2D' // a row keeps its time, however late it is delivered
      skipQueryValidation: true // a new table cannot be queried at once
      autoMitigate: true
      criteria: {
        allOf: [
          {
            query: replace(loadTextContent('../queries/findings_alert.kql'), '{severity}', severity.finding)
            timeAggregation: 'Count'
            operator: 'GreaterThan'
            threshold: 0
            dimensions: [
              // One alert for each revision of each finding, with the columns that name it and tell how
              // grave it is. A rule takes six.
              for column in ['FindingId', 'Revision', 'Identity', 'ResourceGroupName', 'Risk', 'Reason']: {
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
]

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
    description: 'A workspace was not examined for three hours. ManagedIdentityImpactRuns_CL and the function app\'s log say why.'
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
          // Without dimensions: a workspace without rows would have no series to count.
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
