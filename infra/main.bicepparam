// A sample: name your workspace here, or in the environment (azd env set WORKSPACE_RESOURCE_ID ...).
// Every other parameter of main.bicep has a default; those that are changed most often follow.
using 'main.bicep'

param name = readEnvironmentVariable('AZURE_ENV_NAME', 'impact')

param workspaceResourceId = readEnvironmentVariable(
  'WORKSPACE_RESOURCE_ID',
  '/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-security/providers/Microsoft.OperationalInsights/workspaces/law-security'
)

// These three take several, comma separated.
param alertEmails = filter(
  map(split(readEnvironmentVariable('ALERT_EMAILS', ''), ','), address => trim(address)),
  address => !empty(address)
)

param actionGroupResourceIds = filter(
  map(split(readEnvironmentVariable('ACTION_GROUP_RESOURCE_IDS', ''), ','), id => trim(id)),
  id => !empty(id)
)

param furtherWorkspaceResourceIds = filter(
  map(split(readEnvironmentVariable('FURTHER_WORKSPACE_RESOURCE_IDS', ''), ','), id => trim(id)),
  id => !empty(id)
)

// `make package` reads the same variable.
var python = readEnvironmentVariable('PYTHON_VERSION', '')
param pythonVersion = empty(python) ? '3.13' : python

// param assignRoles = false
// param settings = { SUCCESS_STATUSES: 'Success,Succeeded' }
