// The roles that the deployment assigns; no other role is assigned anywhere.

@export()
@description('The ids of the built-in roles, by name.')
var roles = {
  logAnalyticsDataReader: '3b03c2da-16b3-4a49-8834-0f8130efdd3b'
  logAnalyticsReader: '73c42c96-874c-492b-b04d-ab87d138a893'
  monitoringMetricsPublisher: '3913510d-42f4-4e42-8a64-420c390055eb'
  storageBlobDataOwner: 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
}

@export()
@description('The access to a workspace: the needed tables alone, or the whole workspace.')
type accessKind = 'conditioned' | 'workspace'

@export()
@description('The role that reads a workspace.')
func readerRole(access accessKind) string =>
  access == 'conditioned' ? roles.logAnalyticsDataReader : roles.logAnalyticsReader

@export()
@description('The condition that limits the role to these tables; none for a whole workspace. Names are case-sensitive.')
func readerCondition(access accessKind, tables string[]) string? =>
  access == 'conditioned'
    ? '((!(ActionMatches{\'Microsoft.OperationalInsights/workspaces/tables/data/read\'})) OR (${join(map(tables, table => '@Resource[Microsoft.OperationalInsights/workspaces/tables:name] StringEquals \'${table}\''), ' OR ')}))'
    : null

@export()
@description('The tables of a workspace that the app reads, or the alert rules.')
type reading = {
  workspaceId: string
  forAlerts: bool
  tables: string[]
}

@export()
@description('The command that lets the app, or the alert rules, read a workspace.')
func readerCommand(reading reading, access accessKind, appId string, alertsId string) string =>
  assignCommand(
    reading.workspaceId,
    reading.forAlerts ? alertsId : appId,
    readerRole(access),
    readerCondition(access, reading.tables)
  )

@export()
@description('The command that assigns a role, quoted for a POSIX shell.')
func assignCommand(scope string, principalId string, roleId string, condition string?) string =>
  join(
    concat(
      [
        'az role assignment create --assignee-object-id ${principalId}'
        '--assignee-principal-type ServicePrincipal --role ${roleId} --scope \'${scope}\''
      ],
      condition == null ? [] : ['--condition-version 2.0 --condition \'${replace(condition!, '\'', '\'\\\'\'')}\'']
    ),
    ' '
  )
