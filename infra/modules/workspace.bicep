// The product's resources in the workspace: both tables, the function that reads the findings, the
// functions that a finding's row calls, and on request a sample allowlist.

import { tableDefinition } from '../product.bicep'

@description('Required. The name of the workspace, in the resource group that this is deployed to.')
param workspaceName string

@description('Required. The tables with their columns.')
param tables tableDefinition[]

@description('Required. The retention of rows, in days.')
param retentionInDays int

@description('Required. The alias of the sample allowlist; empty for none. Needs Microsoft Sentinel.')
param sampleWatchlistAlias string

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-07-01' existing = {
  name: workspaceName
}

// One after another: the workspace refuses concurrent changes to its tables.
@batchSize(1)
resource table 'Microsoft.OperationalInsights/workspaces/tables@2025-07-01' = [
  for definition in tables: {
    parent: workspace
    name: definition.name
    properties: {
      plan: 'Analytics'
      retentionInDays: retentionInDays
      schema: {
        name: definition.name
        columns: map(definition.columns, column => {
          name: column.name
          // A table has another spelling of this type.
          type: column.type == 'datetime' ? 'dateTime' : column.type
        })
      }
    }
  }
]

// The functions of the runbook have the same text as the queries in the report. There the values of
// the finding stand in front, here the lines that look them up.
var lookUp = loadTextContent('../queries/finding_values.kql')
var functions = [
  {
    name: 'ManagedIdentityImpact'
    parameters: ''
    query: loadTextContent('../queries/ManagedIdentityImpact.kql')
  }
  {
    name: 'ManagedIdentityActivity'
    parameters: 'FindingId:string'
    query: '${lookUp}${loadTextContent('../../detection/kql/investigate_activity.kql')}'
  }
  {
    name: 'ManagedIdentityDataAccess'
    parameters: 'FindingId:string'
    query: '${lookUp}${loadTextContent('../../detection/kql/investigate_data_access.kql')}'
  }
  {
    name: 'ManagedIdentityHistory'
    parameters: 'FindingId:string'
    query: '${lookUp}${loadTextContent('../../detection/kql/investigate_history.kql')}'
  }
  {
    name: 'ManagedIdentityRights'
    parameters: 'FindingId:string'
    query: '${lookUp}${loadTextContent('../../detection/kql/investigate_rights.kql')}'
  }
]

// One after another, because the others call the first.
@batchSize(1)
resource savedFunction 'Microsoft.OperationalInsights/workspaces/savedSearches@2025-07-01' = [
  for function in functions: {
    parent: workspace
    name: function.name
    properties: {
      // The published type puts it beside the properties, where it has no effect. Without it a second
      // deployment conflicts with the first.
      #disable-next-line BCP037
      etag: '*'
      category: 'Managed identity impact'
      displayName: function.name
      functionAlias: function.name
      functionParameters: function.parameters
      query: function.query
      version: 2
    }
  }
]

resource sampleWatchlist 'Microsoft.SecurityInsights/watchlists@2025-09-01' = if (!empty(sampleWatchlistAlias)) {
  scope: workspace
  name: sampleWatchlistAlias
  properties: {
    displayName: sampleWatchlistAlias
    description: 'Addresses of expected sign-ins of managed identities. These are examples.'
    provider: 'Custom'
    source: 'Local file'
    itemsSearchKey: 'IPOrRange'
    contentType: 'text/csv'
    numberOfLinesToSkip: 0
    rawContent: loadTextContent('../watchlist.csv')
  }
}

@description('The workspace\'s region, in the spelling of resources; the data collection rule must be in it.')
output location string = toLower(replace(workspace.location, ' ', ''))
