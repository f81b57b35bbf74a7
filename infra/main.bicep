// Managed identity impact: everything it needs around one Log Analytics workspace.
//
// What lies in or on the workspace is deployed to the workspace's resource group, wherever that is;
// all else to this one. The order follows from what each part is handed: tables before the data
// collection rule, roles before the app that needs them.

import { defaults, findings, productSettings, runs, sources } from 'product.bicep'
import { accessKind, assignCommand, readerCondition, readerRole } from 'modules/roles.bicep'

metadata description = 'Hourly detection of managed identities whose access to Key Vault or Storage turns into changes of Azure.'

@description('Optional. A name for this deployment; another one makes a second, independent deployment in the same resource group.')
@minLength(1)
@maxLength(64)
param name string = 'impact'

@description('Optional. The region of the app and its storage; it must offer Flex Consumption.')
param location string = resourceGroup().location

@description('Required. The resource id of the Log Analytics workspace that is watched and that keeps the findings; it may be in another resource group or subscription.')
@minLength(1)
param workspaceResourceId string

@description('Optional. Resource ids of further workspaces to watch; their findings are kept in the first.')
param furtherWorkspaceResourceIds string[] = []

@description('Optional. The resource id of the workspace for the app\'s own traces.')
param telemetryWorkspaceResourceId string = workspaceResourceId

@description('Optional. How the workspaces are read: only the tables that are needed (conditioned), or, where that is not to be had, all of them (workspace).')
param tableAccess accessKind = 'conditioned'

@description('Optional. Whether to assign the roles. If not, the output roleCommands has the commands for somebody who may.')
param assignRoles bool = true

@description('Optional. When to run, in NCRONTAB of six fields, UTC. The alert on silence expects it hourly.')
param schedule string = '0 0 * * * *'

@description('Optional. Settings of the product that are to differ from their defaults.')
param settings productSettings = {}

@description('Optional. How long findings and run records are kept, in days.')
@minValue(4)
@maxValue(730)
param retentionInDays int = 90

@description('Optional. The memory of the app, in MB.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('Optional. Who is told of findings and of silence by e-mail; nobody if this is empty.')
param alertEmail string = ''

@description('Optional. Whether to make a sample allowlist, over one that is there. Needs Microsoft Sentinel on the workspace.')
param sampleWatchlist bool = false

@description('Optional. Tags for everything that takes any.')
param tags { *: string } = {}

var token = uniqueString(resourceGroup().id, name)
var allTags = union(tags, { 'azd-env-name': name })
var packageContainer = 'package'
var productValues = union(defaults, settings)
var tables = [findings, runs]

// Ids are the same in any case, names made from them are not; and one given twice is one workspace.
var workspaceId = toLower(workspaceResourceId)
var watchedIds = union([workspaceId], map(furtherWorkspaceResourceIds, id => toLower(id)))
var readings = concat(
  map(watchedIds, id => { workspaceId: id, forAlerts: false, tables: sources }),
  [{ workspaceId: workspaceId, forAlerts: true, tables: map(tables, table => table.name) }]
)

resource watched 'Microsoft.OperationalInsights/workspaces@2025-07-01' existing = [
  for id in watchedIds: {
    scope: resourceGroup(split(id, '/')[2], split(id, '/')[4])
    name: split(id, '/')[8]
  }
]

module identity 'modules/identity.bicep' = {
  name: 'identity-${token}'
  params: {
    name: 'id-impact-${token}'
    location: location
    tags: allTags
  }
}

module alertsIdentity 'modules/identity.bicep' = {
  name: 'alerts-identity-${token}'
  params: {
    name: 'id-impact-alerts-${token}'
    location: location
    tags: allTags
  }
}

module storage 'modules/storage.bicep' = {
  name: 'storage-${token}'
  params: {
    name: 'st${token}'
    location: location
    tags: allTags
    packageContainer: packageContainer
    stateContainer: productValues.STATE_CONTAINER
    principalId: identity.outputs.principalId
    assignRoles: assignRoles
  }
}

module workspace 'modules/workspace.bicep' = {
  name: 'impact-workspace-${token}'
  scope: resourceGroup(split(workspaceId, '/')[2], split(workspaceId, '/')[4])
  params: {
    workspaceName: split(workspaceId, '/')[8]
    tables: tables
    retentionInDays: retentionInDays
    sampleWatchlistAlias: sampleWatchlist ? productValues.WATCHLIST_ALIAS : ''
  }
}

module reader 'modules/reader.bicep' = [
  for (reading, index) in readings: if (assignRoles) {
    name: 'impact-reader-${index}-${token}'
    scope: resourceGroup(split(reading.workspaceId, '/')[2], split(reading.workspaceId, '/')[4])
    params: {
      workspaceName: split(reading.workspaceId, '/')[8]
      principalId: reading.forAlerts ? alertsIdentity.outputs.principalId : identity.outputs.principalId
      access: tableAccess
      tables: reading.tables
    }
  }
]

module ingestion 'modules/ingestion.bicep' = {
  name: 'ingestion-${token}'
  params: {
    name: 'dcr-impact-${token}'
    location: workspace.outputs.location
    tags: allTags
    workspaceResourceId: workspaceId
    tables: tables
    principalId: identity.outputs.principalId
    assignRoles: assignRoles
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring-${token}'
  params: {
    name: 'appi-impact-${token}'
    location: location
    tags: allTags
    workspaceResourceId: telemetryWorkspaceResourceId
    principalId: identity.outputs.principalId
    assignRoles: assignRoles
  }
}

module functionApp 'modules/functionapp.bicep' = {
  name: 'function-app-${token}'
  params: {
    name: 'func-impact-${token}'
    planName: 'plan-impact-${token}'
    location: location
    tags: allTags
    appTags: { 'azd-service-name': 'detection' }
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    storageAccountName: storage.outputs.name
    packageAddress: '${storage.outputs.blobEndpoint}${packageContainer}'
    componentName: monitoring.outputs.name
    instanceMemoryMB: instanceMemoryMB
    settings: union(productValues, {
      DETECTION_SCHEDULE: schedule
      AZURE_CLOUD: environment().name
      LOGS_INGESTION_ENDPOINT: ingestion.outputs.endpoint
      LOGS_INGESTION_RULE_ID: ingestion.outputs.immutableId
      STATE_ACCOUNT_URL: storage.outputs.blobEndpoint
    })
    workspaceIds: [for index in range(0, length(watchedIds)): watched[index].properties.customerId]
  }
  dependsOn: [
    reader
  ]
}

module alerts 'modules/alerts.bicep' = {
  name: 'alerts-${token}'
  params: {
    token: token
    location: workspace.outputs.location
    tags: allTags
    workspaceResourceId: workspaceId
    identityId: alertsIdentity.outputs.id
    workspaceIds: [for index in range(0, length(watchedIds)): watched[index].properties.customerId]
    email: alertEmail
  }
  dependsOn: [
    reader
  ]
}

module workbook 'modules/workbook.bicep' = {
  name: 'workbook-${token}'
  params: {
    token: token
    location: location
    tags: allTags
    workspaceResourceId: workspaceId
  }
}

@description('The function app, to publish the code to.')
output functionAppName string = functionApp.outputs.name

@description('The identity that the app runs as: its object id.')
output identityPrincipalId string = identity.outputs.principalId

@description('The identity that the alert rules query as: its object id.')
output alertsIdentityPrincipalId string = alertsIdentity.outputs.principalId

@description('The storage account of the app.')
output storageAccountName string = storage.outputs.name

@description('The Application Insights component of the app.')
output applicationInsightsName string = monitoring.outputs.name

@description('Where findings and run records are sent.')
output logsIngestionEndpoint string = ingestion.outputs.endpoint

@description('The data collection rule that takes them: its immutable id.')
output logsIngestionRuleId string = ingestion.outputs.immutableId

@description('The workspaces that are watched; the first keeps the findings.')
output workspaceIds string[] = [for index in range(0, length(watchedIds)): watched[index].properties.customerId]

@description('The workbook.')
output workbookId string = workbook.outputs.id

@description('The command that publishes the code, packed as out/package.zip.')
output publishCommand string = 'az functionapp deployment source config-zip --subscription ${subscription().subscriptionId} --resource-group ${resourceGroup().name} --name ${functionApp.outputs.name} --src out/package.zip --build-remote true'

@description('Where the roles were not assigned: the commands that assign them.')
output roleCommands string[] = assignRoles
  ? []
  : concat(
      [storage.outputs.roleCommand, ingestion.outputs.roleCommand, monitoring.outputs.roleCommand],
      map(
        readings,
        reading =>
          assignCommand(
            reading.workspaceId,
            reading.forAlerts ? alertsIdentity.outputs.principalId : identity.outputs.principalId,
            readerRole(tableAccess),
            readerCondition(tableAccess, reading.tables)
          )
      )
    )
