// The data collection rule that writes findings and run records to their tables. It takes each row
// unchanged, at an endpoint of its own, or at one that only a private link scope leads to.

import { groupOf, nameOf, subscriptionOf } from '../ids.bicep'
import { networkSettings } from '../network.bicep'
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

@description('Required. The networks that may send.')
param network networkSettings

@description('Required. true protects the rule from deletion.')
param lock bool

@description('Required. The identity that sends.')
param principalId string

@description('Required. true assigns the role here.')
param assignRoles bool

var isPrivate = !empty(network.privateLinkScopeId)
var endpointName = 'dce${skip(name, 3)}' // the rule's name begins with dcr

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-07-01' existing = {
  scope: resourceGroup(subscriptionOf(workspaceResourceId), groupOf(workspaceResourceId))
  name: nameOf(workspaceResourceId)
}

resource kept 'Microsoft.OperationalInsights/workspaces/tables@2025-07-01' existing = [
  for table in tables: {
    parent: workspace
    name: table.name
  }
]

resource endpoint 'Microsoft.Insights/dataCollectionEndpoints@2023-03-11' = if (isPrivate) {
  name: endpointName
  location: location
  tags: tags
  properties: {
    networkAcls: {
      publicNetworkAccess: 'Disabled'
    }
  }
}

module link 'private_link.bicep' = if (isPrivate) {
  name: 'link-${endpointName}'
  scope: resourceGroup(subscriptionOf(network.privateLinkScopeId), groupOf(network.privateLinkScopeId))
  params: {
    scopeName: nameOf(network.privateLinkScopeId)
    name: endpointName
    linkedResourceId: endpoint.id
  }
}

resource rule 'Microsoft.Insights/dataCollectionRules@2024-03-11' = {
  name: name
  location: location
  tags: tags
  kind: 'Direct'
  properties: {
    dataCollectionEndpointId: isPrivate ? endpoint.id : null
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
  // The module with the tables can be done before Azure lets a rule write to them.
  dependsOn: [kept]
}

resource undeletable 'Microsoft.Authorization/locks@2020-05-01' = if (lock) {
  scope: rule
  name: 'keep'
  properties: {
    level: 'CanNotDelete'
    notes: 'The app sends its findings through it.'
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
output endpoint string = isPrivate
  ? endpoint!.properties.logsIngestion.endpoint
  : rule.properties.endpoints.logsIngestion

@description('The command that assigns the role.')
output roleCommand string = assignCommand(rule.id, principalId, roles.monitoringMetricsPublisher, null)
