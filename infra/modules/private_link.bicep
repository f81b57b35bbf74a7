// Adds a resource to an Azure Monitor private link scope, in the resource group of the scope.

@description('Required. The name of the private link scope.')
param scopeName string

@description('Required. The name that the resource gets in the scope.')
param name string

@description('Required. The resource id of what is reached through the scope.')
param linkedResourceId string

resource scope 'Microsoft.Insights/privateLinkScopes@2021-09-01' existing = {
  name: scopeName
}

resource scoped 'Microsoft.Insights/privateLinkScopes/scopedResources@2021-09-01' = {
  parent: scope
  name: name
  properties: {
    linkedResourceId: linkedResourceId
  }
}
