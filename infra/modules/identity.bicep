// A user-assigned identity, made here or given. It exists before the resource that uses it, so its roles
// do too.

import { groupOf, nameOf, subscriptionOf } from '../ids.bicep'

@description('Required. The name of an identity to make.')
param name string

@description('Required. Its region.')
param location string

@description('Required. Its tags.')
param tags { *: string }

@description('Required. The resource id of an identity that exists already; empty to make one.')
param existingId string

resource made 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = if (empty(existingId)) {
  name: name
  location: location
  tags: tags
}

resource given 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = if (!empty(existingId)) {
  scope: resourceGroup(subscriptionOf(existingId), groupOf(existingId))
  name: nameOf(existingId)
}

@description('The resource id, with which a resource gets the identity.')
output id string = empty(existingId) ? made.id : given.id

@description('The object id, which roles are assigned to.')
output principalId string = empty(existingId) ? made!.properties.principalId : given!.properties.principalId

@description('The client id, with which code requests a token of this identity.')
output clientId string = empty(existingId) ? made!.properties.clientId : given!.properties.clientId
