// The role with which an identity reads a workspace: only the tables it needs.

import { accessKind, readerCondition, readerRole } from 'roles.bicep'

@description('Required. The name of the workspace, in the resource group that this is deployed to.')
param workspaceName string

@description('Required. The identity that reads.')
param principalId string

@description('Required. The access: the tables alone (conditioned), or the whole workspace.')
param access accessKind

@description('Required. The tables to read, in the spelling of the workspace.')
param tables string[]

var role = readerRole(access)

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-07-01' existing = {
  name: workspaceName
}

resource reader 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(workspace.id, principalId, role)
  scope: workspace
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    condition: readerCondition(access, tables)
    conditionVersion: access == 'conditioned' ? '2.0' : null
  }
}
