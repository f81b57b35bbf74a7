// A user-assigned identity. It exists before the resource that uses it, so its roles do too.

@description('Required. Its name.')
param name string

@description('Required. Its region.')
param location string

@description('Required. Tags.')
param tags { *: string }

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: name
  location: location
  tags: tags
}

@description('The resource id, with which a resource gets the identity.')
output id string = identity.id

@description('The object id, which roles are assigned to.')
output principalId string = identity.properties.principalId

@description('The client id, with which code requests a token of this identity.')
output clientId string = identity.properties.clientId
