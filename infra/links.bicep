// Addresses of pages in the portal.

@export()
@description('The page of a resource.')
func resourcePage(portal string, tenantId string, id string) string => '${portal}/#@${tenantId}/resource${id}'

@export()
@description('The Logs page of a workspace, with a query over the last seven days.')
func logsPage(portal string, tenantId string, workspaceId string, query string) string =>
  '${portal}/#@${tenantId}/blade/Microsoft_OperationsManagementSuite_Workspace/Logs.ReactView/resourceId/${uriComponent(workspaceId)}/source/LogsBlade.AnalyticsShareLinkToQuery/query/${uriComponent(query)}/timespan/P7D'
