// Application Insights for the app's own traces. It accepts identities only: its key gives no access.

import { groupOf, nameOf, subscriptionOf } from '../ids.bicep'
import { networkSettings } from '../network.bicep'
import { assignCommand, roles } from 'roles.bicep'

@description('Required. The component\'s name.')
param name string

@description('Required. Its region.')
param location string

@description('Required. Tags.')
param tags { *: string }

@description('Required. The workspace that keeps the traces.')
param workspaceResourceId string

@description('Required. The networks that may send traces.')
param network networkSettings

@description('Required. The identity that writes.')
param principalId string

@description('Required. true assigns the role here.')
param assignRoles bool

resource component 'Microsoft.Insights/components@2020-02-02' = {
  name: name
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    DisableLocalAuth: true
    WorkspaceResourceId: workspaceResourceId
    publicNetworkAccessForIngestion: empty(network.privateLinkScopeId) ? 'Enabled' : 'Disabled'
  }
}

module link 'private_link.bicep' = if (!empty(network.privateLinkScopeId)) {
  name: 'link-${name}'
  scope: resourceGroup(subscriptionOf(network.privateLinkScopeId), groupOf(network.privateLinkScopeId))
  params: {
    scopeName: nameOf(network.privateLinkScopeId)
    name: name
    linkedResourceId: component.id
  }
}

resource publisher 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (assignRoles) {
  name: guid(component.id, principalId, roles.monitoringMetricsPublisher)
  scope: component
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles.monitoringMetricsPublisher
    )
  }
}

@description('The component\'s name.')
output name string = component.name

@description('The command that assigns the role.')
output roleCommand string = assignCommand(component.id, principalId, roles.monitoringMetricsPublisher, null)
