// Managed identity impact: the whole deployment around one Log Analytics workspace.
//
// Resources in or on the workspace are deployed to the workspace's resource group, all others to
// this one. The order follows from the outputs that each part needs: tables before the data
// collection rule, roles before the app.

import * as check from 'checks.bicep'
import { groupOf, nameOf, subscriptionOf } from 'ids.bicep'
import * as links from 'links.bicep'
import { networkChoices, networkOf } from 'network.bicep'
import { defaults, findings, productSettings, runs, sources } from 'product.bicep'
import { accessKind, readerCommand } from 'modules/roles.bicep'

metadata description = 'Hourly detection of managed identities whose access to Key Vault or Storage turns into changes of Azure.'

@description('Optional. A name for this deployment; another one makes a second, independent deployment in the same resource group.')
@minLength(1)
@maxLength(64)
param name string = 'impact'

@description('Optional. The region of the app and its storage; it must offer Flex Consumption.')
param location string = resourceGroup().location

@description('Required. The resource id of the Log Analytics workspace to watch, which also keeps the findings; it may be in another resource group or subscription.')
param workspaceResourceId string

@description('Optional. Resource ids of further workspaces to watch; the first workspace keeps their findings.')
param furtherWorkspaceResourceIds string[] = []

@description('Optional. The resource id of the workspace for the app\'s own traces; the first workspace if empty.')
param telemetryWorkspaceResourceId string = ''

@description('Optional. The access to the workspaces: the needed tables alone (conditioned), or every table (workspace), for clouds without conditions on this role.')
param tableAccess accessKind = 'conditioned'

@description('Optional. true assigns the roles. With false, the output roleCommands has the commands for somebody with that right.')
param assignRoles bool = true

@description('Optional. The schedule, as NCRONTAB with six fields in UTC. The alert on silence expects it hourly.')
param schedule string = '0 0 * * * *'

@description('Optional. Settings of the product with other values than their defaults.')
param settings productSettings = {}

@description('Optional. The retention of findings and run records, in days.')
@minValue(4)
@maxValue(730)
param retentionInDays int = 90

@description('Optional. The version of Python that the app runs and the package is built for. Another one helps where a region does not offer the default.')
param pythonVersion '3.11' | '3.12' | '3.13' = '3.13'

@description('Optional. The memory of the app, in MB.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('Optional. The lowest suggested severity of a finding that raises an alert.')
param alertSeverity 'Informational' | 'Low' | 'Medium' | 'High' = 'Medium'

@description('Optional. The e-mail addresses for alerts on findings, on silence and on alert rules that fail.')
param alertEmails string[] = []

@description('Optional. The resource ids of existing action groups that get the same alerts, at most five, or four with alertEmails.')
param actionGroupResourceIds string[] = []

@description('Optional. true puts the workbook, and the rule that keeps Resolved notifications of findings back, into the workspace\'s resource group, which needs Monitoring Contributor there. false puts them here, and leaves that rule out if the workspace is in another subscription.')
param monitoringInWorkspaceGroup bool = true

@description('Optional. The resource id of an identity for the app; empty makes one.')
param identityResourceId string = ''

@description('Optional. The resource id of an identity for the alert rules; empty makes one.')
param alertsIdentityResourceId string = ''

@description('Optional. Private networking: the app\'s subnet, private endpoints, and networks that may use storage.')
param network networkChoices = {}

@description('Optional. The redundancy of the app\'s storage: in one zone, or in three.')
param storageSku 'Standard_LRS' | 'Standard_ZRS' = 'Standard_LRS'

@description('Optional. true keeps the app\'s log and each request to its storage in the workspace for traces.')
param diagnostics bool = false

@description('Optional. true locks storage and the data collection rule against deletion, which needs Owner or User Access Administrator.')
param lock bool = false

@description('Optional. true creates a sample allowlist and overwrites an existing one. Needs Microsoft Sentinel on the workspace.')
param sampleWatchlist bool = false

@description('Optional. Tags for every resource that takes tags.')
param tags { *: string } = {}

// Ids and names ignore case, a hash of them does not.
var token = uniqueString(toLower(resourceGroup().id), toLower(name))
var allTags = union(tags, { 'azd-env-name': name })
var packageContainer = 'package'
var productValues = check.settings(union(defaults, settings))
var tables = [findings, runs]
var networks = networkOf(network)
var recipients = check.mailAddresses(alertEmails, 'alertEmails')
var actionGroupIds = check.actionGroupIds(actionGroupResourceIds, length(recipients), 'actionGroupResourceIds')
var timerSchedule = check.schedule(schedule, 'schedule')

// An id that is given twice is one workspace.
var workspaceId = check.workspaceId(workspaceResourceId, 'workspaceResourceId')
var watchedIds = union(
  [workspaceId],
  map(furtherWorkspaceResourceIds, id => check.workspaceId(id, 'furtherWorkspaceResourceIds'))
)
var telemetryWorkspaceId = empty(telemetryWorkspaceResourceId)
  ? workspaceId
  : check.workspaceId(telemetryWorkspaceResourceId, 'telemetryWorkspaceResourceId')
var readings = concat(
  map(watchedIds, id => { workspaceId: id, forAlerts: false, tables: sources }),
  [{ workspaceId: workspaceId, forAlerts: true, tables: map(tables, table => table.name) }]
)

resource watched 'Microsoft.OperationalInsights/workspaces@2025-07-01' existing = [
  for id in watchedIds: {
    scope: resourceGroup(subscriptionOf(id), groupOf(id))
    name: nameOf(id)
  }
]

module identity 'modules/identity.bicep' = {
  name: 'identity-${token}'
  params: {
    name: 'id-impact-${token}'
    location: location
    tags: allTags
    existingId: check.identityId(identityResourceId, 'identityResourceId')
  }
}

module alertsIdentity 'modules/identity.bicep' = {
  name: 'alerts-identity-${token}'
  params: {
    name: 'id-impact-alerts-${token}'
    location: location
    tags: allTags
    existingId: check.identityId(alertsIdentityResourceId, 'alertsIdentityResourceId')
  }
}

module storage 'modules/storage.bicep' = {
  name: 'storage-${token}'
  params: {
    name: 'st${token}'
    location: location
    tags: allTags
    sku: storageSku
    network: networks
    diagnosticsWorkspaceId: diagnostics ? telemetryWorkspaceId : ''
    lock: lock
    packageContainer: packageContainer
    stateContainer: productValues.STATE_CONTAINER
    principalId: identity.outputs.principalId
    assignRoles: assignRoles
  }
}

module workspace 'modules/workspace.bicep' = {
  name: 'impact-workspace-${token}'
  scope: resourceGroup(subscriptionOf(workspaceId), groupOf(workspaceId))
  params: {
    workspaceName: nameOf(workspaceId)
    tables: tables
    retentionInDays: retentionInDays
    sampleWatchlistAlias: sampleWatchlist ? productValues.WATCHLIST_ALIAS : ''
  }
}

module reader 'modules/reader.bicep' = [
  for (reading, index) in readings: if (assignRoles) {
    name: 'impact-reader-${index}-${token}'
    scope: resourceGroup(subscriptionOf(reading.workspaceId), groupOf(reading.workspaceId))
    params: {
      workspaceName: nameOf(reading.workspaceId)
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
    network: networks
    lock: lock
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
    workspaceResourceId: telemetryWorkspaceId
    network: networks
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
    subnetId: networks.appSubnetId
    diagnosticsWorkspaceId: diagnostics ? telemetryWorkspaceId : ''
    pythonVersion: pythonVersion
    instanceMemoryMB: instanceMemoryMB
    settings: union(productValues, {
      DETECTION_SCHEDULE: timerSchedule
      DEPLOYMENT_NAME: token
      AZURE_CLOUD: environment().name
      LOGS_INGESTION_ENDPOINT: ingestion.outputs.endpoint
      LOGS_INGESTION_RULE_ID: ingestion.outputs.immutableId
      STATE_ACCOUNT_URL: storage.outputs.blobEndpoint
    })
    workspaceIds: [for index in range(0, length(watchedIds)): watched[index].properties.customerId]
  }
  dependsOn: [reader]
}

module alerts 'modules/alerts.bicep' = {
  name: 'alerts-${token}'
  params: {
    token: token
    location: workspace.outputs.location
    tags: allTags
    workspaceResourceId: workspaceId
    identityId: alertsIdentity.outputs.id
    workspaces: [for (id, index) in watchedIds: { name: nameOf(id), id: watched[index].properties.customerId }]
    leastSeverity: alertSeverity
    emails: recipients
    actionGroupResourceIds: actionGroupIds
  }
  dependsOn: [reader]
}

// An alert processing rule must be in the subscription of the resource that the alerts fire on.
module alertProcessing 'modules/alert_processing.bicep' = if (monitoringInWorkspaceGroup || subscriptionOf(workspaceId) == toLower(subscription().subscriptionId)) {
  name: 'impact-alert-processing-${token}'
  scope: resourceGroup(
    subscriptionOf(workspaceId),
    monitoringInWorkspaceGroup ? groupOf(workspaceId) : resourceGroup().name
  )
  params: {
    name: 'apr-impact-resolved-${token}'
    tags: allTags
    workspaceResourceId: workspaceId
    ruleIds: alerts.outputs.findingRuleIds
  }
}

module workbook 'modules/workbook.bicep' = {
  name: 'impact-workbook-${token}'
  scope: resourceGroup(
    monitoringInWorkspaceGroup ? subscriptionOf(workspaceId) : subscription().subscriptionId,
    monitoringInWorkspaceGroup ? groupOf(workspaceId) : resourceGroup().name
  )
  params: {
    name: guid(workspaceId, token, 'managed-identity-impact')
    location: location
    tags: allTags
    workspaceResourceId: workspaceId
  }
}

@description('The function app that the code is published to.')
output functionAppName string = functionApp.outputs.name

@description('The object id of the app\'s identity.')
output identityPrincipalId string = identity.outputs.principalId

@description('The object id of the alert rules\' identity.')
output alertsIdentityPrincipalId string = alertsIdentity.outputs.principalId

@description('The storage account of the app.')
output storageAccountName string = storage.outputs.name

@description('The Application Insights component of the app.')
output applicationInsightsName string = monitoring.outputs.name

@description('The endpoint that findings and run records are sent to.')
output logsIngestionEndpoint string = ingestion.outputs.endpoint

@description('The immutable id of the data collection rule.')
output logsIngestionRuleId string = ingestion.outputs.immutableId

@description('The watched workspaces; the first keeps the findings.')
output workspaceIds string[] = [for index in range(0, length(watchedIds)): watched[index].properties.customerId]

@description('Pages in the portal: the workbook, the function app, and queries for findings and runs.')
output portalLinks { *: string } = {
  workbook: links.workbookPage(
    environment().portal,
    tenant().tenantId,
    workspaceId,
    workbook.outputs.id,
    workbook.outputs.displayName
  )
  functionApp: links.resourcePage(environment().portal, tenant().tenantId, functionApp.outputs.id)
  findings: links.logsPage(environment().portal, tenant().tenantId, workspaceId, 'ManagedIdentityImpact()')
  runs: links.logsPage(environment().portal, tenant().tenantId, workspaceId, runs.name)
}

@description('The command that publishes out/package.zip.')
output publishCommand string = 'make publish APP=${functionApp.outputs.name} GROUP=\'${resourceGroup().name}\' SUBSCRIPTION=${subscription().subscriptionId}'

@description('The commands that assign the roles, if they were not assigned.')
output roleCommands string[] = assignRoles
  ? []
  : concat(
      [storage.outputs.roleCommand, ingestion.outputs.roleCommand, monitoring.outputs.roleCommand],
      map(
        readings,
        reading => readerCommand(reading, tableAccess, identity.outputs.principalId, alertsIdentity.outputs.principalId)
      )
    )
