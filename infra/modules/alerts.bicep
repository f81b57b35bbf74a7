// Alert rules for findings, one for each severity, and one for silence. They query with an identity of
// their own, not with the rights of the person who deployed them.

@description('Required. The suffix of the rules\' names, which is also the deployment\'s name in the rows of both tables.')
param token string

@description('Required. The region of the workspace.')
param location string

@description('Required. Tags.')
param tags { *: string }

@description('Required. The workspace that holds the tables.')
param workspaceResourceId string

@description('Required. The resource id of the identity that the rules query with.')
param identityId string

@description('Required. The watched workspaces.')
param workspaces { name: string, id: string }[]

@description('Required. The lowest suggested severity of a finding that raises an alert.')
param leastSeverity 'Informational' | 'Low' | 'Medium' | 'High'

@description('Required. The e-mail addresses for alerts.')
param emails string[]

@description('Required. The resource ids of existing action groups for alerts.')
param actionGroupResourceIds string[]

resource recipients 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(emails)) {
  name: 'ag-impact-${token}'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'mi-impact'
    emailReceivers: [
      for (address, index) in union([], emails): {
        name: 'email-${index + 1}'
        emailAddress: address
        useCommonAlertSchema: true
      }
    ]
  }
}

var groups = union(empty(emails) ? [] : [recipients.id], actionGroupResourceIds)

// The severities of findings, the highest first, and Azure Monitor's: Error, Warning, Informational and
// Verbose. A rule has one severity, so each of them has a rule.
var severities = [
  { finding: 'High', alert: 1 }
  { finding: 'Medium', alert: 2 }
  { finding: 'Low', alert: 3 }
  { finding: 'Informational', alert: 4 }
]
var names = map(severities, each => each.finding)
var alerted = take(severities, indexOf(names, leastSeverity) + 1)

// A rule takes six dimensions. Each finding raises one alert, which carries their values.
var findingDimensions = ['FindingId', 'Identity', 'ResourceGroupName', 'Risk', 'IdentityRisk', 'Reason']
var silenceDimensions = ['WorkspaceName', 'WorkspaceId']

resource findings 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for (severity, rank) in alerted: {
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
      overrideQueryTimeRange: 'P2D' // the longest; a row keeps its time, however late it is delivered
      skipQueryValidation: true // a new table cannot be queried at once
      autoMitigate: true // else the second evaluation that sees a row would alert again
      criteria: {
        allOf: [
          {
            query: reduce(
              [
                { name: '{deployment}', value: token }
                { name: '{severities}', value: join(take(names, rank + 1), '", "') }
                { name: '{severity}', value: severity.finding }
              ],
              loadTextContent('../queries/findings_alert.kql'),
              (text, each) => replace(text, each.name, each.value)
            )
            timeAggregation: 'Count'
            operator: 'GreaterThan'
            threshold: 0
            dimensions: [for name in findingDimensions: { name: name, operator: 'Include', values: ['*'] }]
            failingPeriods: {
              numberOfEvaluationPeriods: 1
              minFailingPeriodsToAlert: 1
            }
          }
        ]
      }
      actions: {
        actionGroups: groups
      }
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
    evaluationFrequency: 'PT15M' // a rule that runs less often has no health
    windowSize: 'PT3H'
    skipQueryValidation: true
    autoMitigate: true
    criteria: {
      allOf: [
        {
          query: replace(
            replace(loadTextContent('../queries/silence_alert.kql'), '{deployment}', token),
            '{workspaces}',
            join(flatten(map(workspaces, each => [each.name, toLower(each.id)])), '", "')
          )
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          dimensions: [for name in silenceDimensions: { name: name, operator: 'Include', values: ['*'] }]
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: groups
    }
  }
}

module health 'alert_health.bicep' = if (!empty(groups)) {
  name: 'alert-health-${token}'
  params: {
    token: token
    tags: tags
    ruleIds: [for index in range(0, length(alerted) + 1): index < length(alerted) ? findings[index].id : silence.id]
    actionGroupResourceIds: groups
  }
}

@description('The resource ids of the rules on findings.')
output findingRuleIds string[] = [for index in range(0, length(alerted)): findings[index].id]
