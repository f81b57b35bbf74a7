// What the product keeps in the workspace: both tables, the function that reads the findings, and
// on request a sample allowlist.

import { tableDefinition } from '../product.bicep'

@description('Required. The name of the workspace, in the resource group that this is deployed to.')
param workspaceName string

@description('Required. The tables with their columns.')
param tables tableDefinition[]

@description('Required. How long rows are kept, in days.')
param retentionInDays int

@description('Required. The alias of the sample allowlist; none is made if this is empty. Needs Microsoft Sentinel.')
param sampleWatchlistAlias string

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-07-01' existing = {
  name: workspaceName
}

// One after another: the workspace refuses changes to its tables at the same time.
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
          // A table spells this type in its own way.
          type: column.type == 'datetime' ? 'dateTime' : column.type
        })
      }
    }
  }
]

resource readFindings 'Microsoft.OperationalInsights/workspaces/savedSearches@2025-07-01' = {
  parent: workspace
  name: 'ManagedIdentityImpact'
  properties: {
    // The published type has it beside the properties, where it does nothing. Without it a second
    // deployment conflicts with the first.
    #disable-next-line BCP037
    etag: '*'
    category: 'Managed identity impact'
    displayName: 'ManagedIdentityImpact'
    functionAlias: 'ManagedIdentityImpact'
    query: loadTextContent('../queries/ManagedIdentityImpact.kql')
    version: 2
  }
}

resource sampleWatchlist 'Microsoft.SecurityInsights/watchlists@2025-09-01' = if (!empty(sampleWatchlistAlias)) {
  scope: workspace
  name: sampleWatchlistAlias
  properties: {
    displayName: sampleWatchlistAlias
    description: 'Addresses from which sign-ins of managed identities are expected. These are examples.'
    provider: 'Custom'
    source: 'Local file'
    itemsSearchKey: 'IPOrRange'
    contentType: 'text/csv'
    numberOfLinesToSkip: 0
    rawContent: loadTextContent('../watchlist.csv')
  }
}

@description('The workspace\'s region, in which the data collection rule must be; spelt as resources spell it.')
output location string = toLower(replace(workspace.location, ' ', ''))
