// The data collection rule that writes findings and run records to their tables. It has its own
// endpoint and takes each row unchanged.

import { tableDefinition } from '../product.bicep'
import { assignCommand, roles } from 'roles.bicep'

@description('Required. The rule\'s name; at most 30 characters, because its endpoint contains it.')
@maxLength(30)
param name string

@description('Required. The region of the workspace.')
param location string

@description('Required. Tags.')
param tags { *: string }

@description('Required. The workspace that holds the tables.')
param workspaceResourceId string

@description('Required. The tables with their columns.')
param tables tableDefinition[]

@description('Required. The identity that sends.')
param principalId string

@description('Required. true assigns the role here.')
param assignRoles bool

resource rule 'Microsoft.Insights/dataCollectionRules@2024-03-11' = {
  name: name
  location: location
  tags: tags
  kind: 'Direct'
  properties: {
    streamDeclarations: toObject(tables, table => 'Custom-${table.name}', table => { columns: table.columns })
    destinations: {
      logAnalytics: [
        {
          name: 'workspace'
          workspaceResourceId: workspaceResourceId
        }
      ]
    }
    dataFlows: [
      for table in tables: {
        streams: ['Custom-${table.name}']
        destinations: ['workspace']
        outputStream: 'Custom-${table.name}'
        transformKql: 'source'
      }
    ]
  }
}

resource publisher 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (assignRoles) {
  name: guid(rule.id, principalId, roles.monitoringMetricsPublisher)
  scope: rule
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles.monitoringMetricsPublisher
    )
  }
}

@description('The rule\'s immutable id.')
output immutableId string = rule.properties.immutableId

@description('The endpoint that rows are sent to.')
output endpoint string = rule.properties.endpoints.logsIngestion

@description('The command that assigns the role.')
output roleCommand string = assignCommand(rule.id, principalId, roles.monitoringMetricsPublisher, null)
