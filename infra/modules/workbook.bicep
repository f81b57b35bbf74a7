// The workbook of findings and runs. Its readers need read access to both tables.

@description('Required. The name that distinguishes this deployment from others: a GUID.')
param name string

@description('Required. Its region.')
param location string

@description('Required. Tags.')
param tags { *: string }

@description('Required. The workspace that it shows.')
param workspaceResourceId string

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: name
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

@description('The workbook\'s name, as the portal shows it.')
output displayName string = workbook.properties.displayName
