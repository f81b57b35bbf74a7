// Addresses of pages in the portal.

@export()
@description('The page of a resource.')
func resourcePage(portal string, tenantId string, id string) string => '${portal}/#@${tenantId}/resource${id}'

// The page and its parts are those of AzureOptimizationEngine in microsoft/finops-toolkit.
@export()
@description('The Logs page of a workspace, with a query over the last seven days.')
func logsPage(portal string, tenantId string, workspaceId string, query string) string =>
  '${portal}/#@${tenantId}/blade/Microsoft_Azure_Monitoring_Logs/LogsBlade/resourceId/${uriComponent(workspaceId)}/source/LogsBlade.AnalyticsShareLinkToQuery/query/${uriComponent(query)}/timespan/P7D'

// As in the workbooks of microsoft/finops-toolkit.
@export()
@description('The page of a workbook of Microsoft Sentinel that belongs to a workspace.')
func workbookPage(portal string, tenantId string, workspaceId string, id string, name string) string =>
  '${portal}/#@${tenantId}/blade/AppInsightsExtension/UsageNotebookBlade/ComponentId/${uriComponent(workspaceId)}/ConfigurationId/${uriComponent(id)}/Type/sentinel/WorkbookTemplateName/${uriComponent(name)}'
