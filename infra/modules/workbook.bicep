// The workbook over findings and runs; who looks at it needs to be able to read both tables.

@description('Required. What tells this deployment from others in the resource group.')
param token string

@description('Required. Where it is kept.')
param location string

@description('Required. Tags.')
param tags { *: string }

@description('Required. The workspace that it shows.')
param workspaceResourceId string

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(workspaceResourceId, resourceGroup().id, token, 'managed-identity-impact')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    category: 'sentinel'
    displayName: 'Managed identity impact'
    serializedData: string(loadJsonContent('../workbook.json'))
    sourceId: workspaceResourceId
    version: 'Notebook/1.0'
  }
}

@description('The workbook\'s resource id.')
output id string = workbook.id
