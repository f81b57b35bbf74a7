// The app's own storage account: its package, its state, and the locks of the Functions host.
// It accepts no account key.

import { networkSettings } from '../network.bicep'
import { roles, assignCommand } from 'roles.bicep'

@description('Required. The account\'s name: 3 to 24 lower-case letters and digits, unique in Azure.')
param name string

@description('Required. The region of the data.')
param location string

@description('Required. Tags.')
param tags { *: string }

@description('Required. The container that the app is deployed from.')
param packageContainer string

@description('Required. The container of the app\'s state.')
param stateContainer string

@description('Required. The redundancy of the data: in one zone, or in three.')
param sku 'Standard_LRS' | 'Standard_ZRS'

@description('Required. The networks that may use it.')
param network networkSettings

@description('Required. The workspace that keeps a record of each request; empty for none.')
param diagnosticsWorkspaceId string

@description('Required. true protects it from deletion.')
param lock bool

@description('Required. The identity that may read and write blobs.')
param principalId string

@description('Required. true assigns the role here.')
param assignRoles bool

// How long deleted and overwritten data can be restored, in days.
var recoverable = 30

var isPrivate = !empty(network.endpointSubnetId)
var isLimited = !isPrivate && !empty(union(network.storageIpRanges, network.storageSubnetIds))

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: sku
  }
  properties: {
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
    networkAcls: {
      defaultAction: isPrivate || isLimited ? 'Deny' : 'Allow'
      bypass: isPrivate || isLimited ? 'None' : 'AzureServices'
      ipRules: map(network.storageIpRanges, range => { value: range, action: 'Allow' })
      // The app has no fixed address: it gets in by its subnet.
      virtualNetworkRules: map(
        union(isLimited ? [network.appSubnetId] : [], network.storageSubnetIds),
        id => { id: id, action: 'Allow' }
      )
    }
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-06-01' = {
  parent: account
  name: 'default'
  properties: {
    isVersioningEnabled: true
    deleteRetentionPolicy: {
      enabled: true
      days: recoverable
    }
    containerDeleteRetentionPolicy: {
      enabled: true
      days: recoverable
    }
  }
}

// The state is overwritten every hour: without this, its versions would accumulate forever.
resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2025-06-01' = {
  parent: account
  name: 'default'
  properties: {
    policy: {
      rules: [
        {
          name: 'forget-old-versions'
          type: 'Lifecycle'
          definition: {
            filters: {
              blobTypes: ['blockBlob']
            }
            actions: {
              version: {
                delete: {
                  daysAfterCreationGreaterThan: recoverable
                }
              }
            }
          }
        }
      ]
    }
  }
  dependsOn: [
    blobs // a policy on versions needs versioning
  ]
}

resource containers 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = [
  for container in [packageContainer, stateContainer]: {
    parent: blobs
    name: container
    properties: {
      publicAccess: 'None'
    }
  }
]

// The host creates its own containers, so no scope narrower than the account is enough.
resource owner 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (assignRoles) {
  name: guid(account.id, principalId, roles.storageBlobDataOwner)
  scope: account
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.storageBlobDataOwner)
  }
}

module endpoint 'private_endpoint.bicep' = if (isPrivate) {
  name: 'endpoint-${name}'
  params: {
    name: 'pep-${name}'
    location: location
    tags: tags
    accountId: account.id
    subnetId: network.endpointSubnetId
    dnsZoneId: network.blobDnsZoneId
  }
}

resource requests 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (!empty(diagnosticsWorkspaceId)) {
  scope: blobs
  name: 'requests'
  properties: {
    workspaceId: diagnosticsWorkspaceId
    logs: [
      for category in ['StorageRead', 'StorageWrite', 'StorageDelete']: {
        category: category
        enabled: true
      }
    ]
  }
}

resource undeletable 'Microsoft.Authorization/locks@2020-05-01' = if (lock) {
  scope: account
  name: 'keep'
  properties: {
    level: 'CanNotDelete'
    notes: 'It has the memory of the findings that were reported.'
  }
}

@description('The account\'s name.')
output name string = account.name

@description('Its blob endpoint.')
output blobEndpoint string = account.properties.primaryEndpoints.blob

@description('The command that assigns the role.')
output roleCommand string = assignCommand(account.id, principalId, roles.storageBlobDataOwner, null)
