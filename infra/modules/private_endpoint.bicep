// A private endpoint for the blobs of a storage account, and its name in a private DNS zone.

@description('Required. The endpoint\'s name.')
param name string

@description('Required. Its region, which is that of its subnet.')
param location string

@description('Required. Tags.')
param tags { *: string }

@description('Required. The resource id of the storage account.')
param accountId string

@description('Required. The resource id of the subnet.')
param subnetId string

@description('Required. The resource id of the private DNS zone; empty if a policy registers the endpoint.')
param dnsZoneId string

resource endpoint 'Microsoft.Network/privateEndpoints@2024-05-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    subnet: {
      id: subnetId
    }
    privateLinkServiceConnections: [
      {
        name: 'blob'
        properties: {
          privateLinkServiceId: accountId
          groupIds: ['blob'] // the host uses queues and tables only for other triggers
        }
      }
    ]
  }
}

resource registration 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-05-01' = if (!empty(dnsZoneId)) {
  parent: endpoint
  name: 'default'
  properties: {
    privateDnsZoneConfigs: [
      {
        name: 'blob'
        properties: {
          privateDnsZoneId: dnsZoneId
        }
      }
    ]
  }
}
