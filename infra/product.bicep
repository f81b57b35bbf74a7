// Made by `make infra` from detection/schema.py and detection/settings.py: change those.

@export()
@description('A custom table.')
type tableDefinition = {
  name: string
  columns: {
    name: string
    type: 'boolean' | 'datetime' | 'dynamic' | 'int' | 'long' | 'string'
  }[]
}

@export()
@description('Settings of the product that may differ from their defaults.')
@sealed()
type productSettings = {
  LOOKBACK: string?
  CORRELATION_SPAN: string?
  MAX_CATCH_UP: string?
  MAX_LATENESS: string?
  SUCCESS_STATUSES: string?
  NOVELTY: ('true' | 'false')?
  WATCHLIST_ALIAS: string?
  CORRELATE_IN: ('auto' | 'python' | 'workspace')?
  EXCLUSIONS_ALIAS: string?
  DRY_RUN: ('true' | 'false')?
  LOGS_QUERY_ENDPOINT: string?
}

@export()
@description('Every setting that has a default.')
var defaults = {
  LOOKBACK: 'PT2H'
  CORRELATION_SPAN: 'PT1H'
  MAX_CATCH_UP: 'P7D'
  MAX_LATENESS: 'P1D'
  SUCCESS_STATUSES: 'Success'
  NOVELTY: 'true'
  DEPLOYMENT_NAME: 'local'
  AZURE_CLOUD: 'AzureCloud'
  FINDINGS_STREAM: 'Custom-ManagedIdentityImpact_CL'
  RUNS_STREAM: 'Custom-ManagedIdentityImpactRuns_CL'
  STATE_CONTAINER: 'managed-identity-impact'
  WATCHLIST_ALIAS: 'NetworkAllowlist'
  CORRELATE_IN: 'auto'
  EXCLUSIONS_ALIAS: 'ManagedIdentityExclusions'
  DRY_RUN: 'false'
}

@export()
@description('The tables that are read.')
var sources = [
  'AADManagedIdentitySignInLogs'
  'AzureActivity'
  'Watchlist'
]

@export()
@description('The table of findings.')
var findings = {
  name: 'ManagedIdentityImpact_CL'
  columns: [
    { name: 'TimeGenerated', type: 'datetime' }
    { name: 'FindingId', type: 'string' }
    { name: 'Revision', type: 'int' }
    { name: 'WorkspaceId', type: 'string' }
    { name: 'Deployment', type: 'string' }
    { name: 'RuleName', type: 'string' }
    { name: 'RuleVersion', type: 'string' }
    { name: 'Severity', type: 'string' }
    { name: 'Tactics', type: 'dynamic' }
    { name: 'Techniques', type: 'dynamic' }
    { name: 'ServicePrincipalName', type: 'string' }
    { name: 'ServicePrincipalId', type: 'string' }
    { name: 'ResourceGroup', type: 'string' }
    { name: 'DataPlaneAccesses', type: 'long' }
    { name: 'MgmtPlaneOps', type: 'long' }
    { name: 'DistinctSignIns', type: 'long' }
    { name: 'DistinctOperations', type: 'long' }
    { name: 'NewOperations', type: 'long' }
    { name: 'Resources', type: 'dynamic' }
    { name: 'Operations', type: 'dynamic' }
    { name: 'AffectedResources', type: 'dynamic' }
    { name: 'SubscriptionIds', type: 'dynamic' }
    { name: 'CallerIpAddresses', type: 'dynamic' }
    { name: 'ObservedTactics', type: 'dynamic' }
    { name: 'ObservedTechniques', type: 'dynamic' }
    { name: 'RiskScore', type: 'int' }
    { name: 'IdentityRiskScore', type: 'int' }
    { name: 'RiskReasons', type: 'dynamic' }
    { name: 'SuggestedSeverity', type: 'string' }
    { name: 'FindingTitle', type: 'string' }
    { name: 'Description', type: 'string' }
    { name: 'Evidence', type: 'dynamic' }
    { name: 'IdentityType', type: 'string' }
    { name: 'IdentityResourceId', type: 'string' }
    { name: 'HostResourceId', type: 'string' }
    { name: 'RolesUsed', type: 'dynamic' }
    { name: 'Grants', type: 'dynamic' }
    { name: 'FailedOperations', type: 'long' }
    { name: 'Entities', type: 'dynamic' }
    { name: 'Links', type: 'dynamic' }
    { name: 'Investigate', type: 'dynamic' }
    { name: 'FirstEvent', type: 'datetime' }
    { name: 'LastEvent', type: 'datetime' }
    { name: 'WindowStart', type: 'datetime' }
    { name: 'WindowEnd', type: 'datetime' }
    { name: 'RunId', type: 'string' }
    { name: 'Shortened', type: 'boolean' }
  ]
}

@export()
@description('The table of runs.')
var runs = {
  name: 'ManagedIdentityImpactRuns_CL'
  columns: [
    { name: 'TimeGenerated', type: 'datetime' }
    { name: 'RunId', type: 'string' }
    { name: 'WorkspaceId', type: 'string' }
    { name: 'Deployment', type: 'string' }
    { name: 'Status', type: 'string' }
    { name: 'Reason', type: 'string' }
    { name: 'WindowStart', type: 'datetime' }
    { name: 'WindowEnd', type: 'datetime' }
    { name: 'Mode', type: 'string' }
    { name: 'LateRows', type: 'long' }
    { name: 'TooLateRows', type: 'long' }
    { name: 'SignInsState', type: 'string' }
    { name: 'OperationsState', type: 'string' }
    { name: 'AllowlistState', type: 'string' }
    { name: 'SignInsRead', type: 'long' }
    { name: 'OperationsRead', type: 'long' }
    { name: 'SignInsMatched', type: 'long' }
    { name: 'SignInsExcluded', type: 'long' }
    { name: 'SignInsWithoutIp', type: 'long' }
    { name: 'OperationsMatched', type: 'long' }
    { name: 'OperationsSucceededSpelling', type: 'long' }
    { name: 'OperationsWithoutCaller', type: 'long' }
    { name: 'AllowlistEntries', type: 'long' }
    { name: 'AllowlistInvalid', type: 'dynamic' }
    { name: 'LatestSignIn', type: 'datetime' }
    { name: 'LatestOperation', type: 'datetime' }
    { name: 'Pairs', type: 'long' }
    { name: 'Findings', type: 'long' }
    { name: 'FindingsNew', type: 'long' }
    { name: 'FindingsUpdated', type: 'long' }
    { name: 'FindingsUnchanged', type: 'long' }
    { name: 'FindingsExcluded', type: 'long' }
    { name: 'ExclusionsUsed', type: 'dynamic' }
    { name: 'ExclusionsExpired', type: 'dynamic' }
    { name: 'ExclusionsInvalid', type: 'dynamic' }
    { name: 'NearMisses', type: 'long' }
    { name: 'DurationMs', type: 'long' }
    { name: 'BytesRead', type: 'long' }
    { name: 'RuleVersion', type: 'string' }
    { name: 'Error', type: 'string' }
    { name: 'Shortened', type: 'boolean' }
  ]
}
