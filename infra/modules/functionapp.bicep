// The app on a Flex Consumption plan. It reaches every service with its managed identity.

@description('Required. The app\'s name, unique in Azure.')
param name string

@description('Required. The plan\'s name.')
param planName string

@description('Required. The region of both.')
param location string

@description('Required. Tags of both.')
param tags { *: string }

@description('Required. Further tags of the app.')
param appTags { *: string }

@description('Required. The resource id of the app\'s identity.')
param identityId string

@description('Required. The client id of that identity.')
param identityClientId string

@description('Required. The storage account of the host.')
param storageAccountName string

@description('Required. The address of the container that the app is deployed from.')
param packageAddress string

@description('Required. The Application Insights component.')
param componentName string

@description('Required. The resource id of the subnet that the app sends from; empty for none.')
param subnetId string

@description('Required. The workspace that keeps the app\'s log; empty for none.')
param diagnosticsWorkspaceId string

@description('Required. The version of Python.')
param pythonVersion string

@description('Required. The memory of an instance, in MB.')
param instanceMemoryMB int

@description('Required. The product\'s settings by name, without WORKSPACE_IDS.')
param settings { *: string }

@description('Required. The ids of the workspaces to watch.')
param workspaceIds string[]

resource component 'Microsoft.Insights/components@2020-02-02' existing = {
  name: componentName
}

// Flex Consumption takes runtime and version from functionAppConfig, and refuses them as settings.
var hostSettings = {
  AzureWebJobsStorage__accountName: storageAccountName
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identityClientId
  AZURE_CLIENT_ID: identityClientId
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
}

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true // Linux
  }
}

resource app 'Microsoft.Web/sites@2025-03-01' = {
  name: name
  location: location
  tags: union(tags, appTags)
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      appSettings: concat(
        map(items(union(settings, hostSettings)), setting => { name: setting.key, value: setting.value }),
        [
          {
            name: 'WORKSPACE_IDS'
            value: join(workspaceIds, ',')
          }
          {
            // The connection string has a key that gives no access: the component accepts identities only.
            name: 'APPLICATIONINSIGHTS_CONNECTION_STRING'
            value: component.properties.ConnectionString
          }
        ]
      )
    }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: packageAddress
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      runtime: {
        name: 'python'
        version: pythonVersion
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: 40 // the least that is sure to be accepted; a timer runs on one
      }
    }
  }
}

// No publishing with a password, by FTP or otherwise.
resource ftpPasswords 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'ftp'
  properties: {
    allow: false
  }
}

resource scmPasswords 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'scm'
  properties: {
    allow: false
  }
}

resource log 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (!empty(diagnosticsWorkspaceId)) {
  scope: app
  name: 'log'
  properties: {
    workspaceId: diagnosticsWorkspaceId
    logs: [
      {
        category: 'FunctionAppLogs'
        enabled: true
      }
    ]
  }
}

@description('The app\'s resource id.')
output id string = app.id

@description('The app\'s name.')
output name string = app.name
