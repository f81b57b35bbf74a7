// A user-assigned identity, there before what runs as it, so that every role is in place by then.

@description('Required. Its name.')
param name string

@description('Required. Where it is kept.')
param location string

@description('Required. Tags.')
param tags { *: string }

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: name
  location: location
  tags: tags
}

@description('The resource id, by which a resource is given the identity.')
output id string = identity.id

@description('The object id, to which roles are assigned.')
output principalId string = identity.properties.principalId

@description('The client id, by which code asks for a token of this identity.')
output clientId string = identity.properties.clientId
