// Checks of parameters. Each function returns its value, or ends the deployment with a sentence that
// names the parameter. Text is compared with case by ==, and without by startsWith and indexOf.

@export()
@description('Returns the resource id of a workspace in lower case, in which ids are equal whatever their spelling.')
func workspaceId(id string, parameter string) string =>
  toLower(idOf(id, parameter, 'a Log Analytics workspace', 'Microsoft.OperationalInsights/workspaces'))

@export()
@description('Returns a resource id, or nothing if none is given. A type such as Microsoft.Network/virtualNetworks/subnets names the parts of the id.')
func optionalId(id string, parameter string, meaning string, type string) string =>
  empty(id) ? '' : idOf(id, parameter, meaning, type)

@export()
@description('Returns the resource id of a user-assigned identity, or nothing if none is given.')
func identityId(id string, parameter string) string =>
  optionalId(id, parameter, 'a user-assigned identity', 'Microsoft.ManagedIdentity/userAssignedIdentities')

// An alert rule takes five: https://learn.microsoft.com/azure/azure-monitor/alerts/action-groups
@export()
@description('Returns the resource ids of action groups, beside which addresses have a group of their own.')
func actionGroupIds(ids string[], addresses int, parameter string) string[] =>
  length(ids) + min(addresses, 1) <= 5
    ? idsOf(ids, parameter, 'an action group', 'Microsoft.Insights/actionGroups')
    : fail('${parameter}: an alert rule takes five action groups, or four beside e-mail addresses')

@export()
@description('Returns resource ids of a type.')
func idsOf(ids string[], parameter string, meaning string, type string) string[] =>
  map(ids, id => idOf(id, parameter, meaning, type))

func idOf(id string, parameter string, meaning string, type string) string =>
  isResourceId(id, type)
    ? id
    : fail('${parameter}: "${id}" is not the resource id of ${meaning}. It takes the form ${formOf(split(type, '/'))}, without a slash or a blank at the end')

// A blank may stand inside a name: Azure makes the action group "Application Insights Smart Detection".
@export()
@description('Returns true for the resource id of a resource of this type, in any case.')
func isResourceId(id string, type string) bool =>
  hasParts(split(id, '/'), split(type, '/')) && empty(filter(split(id, '/'), part => part != trim(part)))

func formOf(types string[]) string =>
  '/subscriptions/<id>/resourceGroups/<group>/providers/${types[0]}/${join(map(skip(types, 1), type => '${type}/<name>'), '/')}'

func hasParts(parts string[], types string[]) bool =>
  length(parts) == 5 + 2 * length(types)
    ? empty(filter(skip(parts, 1), part => empty(part))) && join(
        concat(
          [parts[0], parts[1], parts[3], parts[5], parts[6]],
          map(range(1, length(types) - 1), at => parts[5 + 2 * at])
        ),
        '/'
      ) =~ '/subscriptions/resourceGroups/providers/${join(types, '/')}'
    : false

@export()
@description('Returns e-mail addresses.')
func mailAddresses(addresses string[], parameter string) string[] =>
  map(
    addresses,
    address =>
      isMailAddress(address)
        ? address
        : fail('${parameter}: "${address}" is not an e-mail address. List several addresses as items of their own')
  )

@export()
@description('Returns true for one e-mail address, without a name.')
func isMailAddress(text string) bool => isAddress(split(text, '@')) && !hasOneOf(text, ' ,;<>"()')

func isAddress(parts string[]) bool =>
  length(parts) == 2
    ? !empty(parts[0]) && contains(parts[1], '.') && empty(filter(split(parts[1], '.'), label => empty(label)))
    : false

@export()
@description('Returns a schedule: NCRONTAB with six fields.')
func schedule(text string, parameter string) string =>
  isSchedule(split(text, ' '))
    ? text
    : fail('${parameter}: "${text}" is not an NCRONTAB expression with six fields: second, minute, hour, day, month and day of the week, such as "0 0 * * * *"')

@export()
@description('Returns true for the six fields of an NCRONTAB expression.')
func isSchedule(fields string[]) bool =>
  length(fields) == 6
    ? isField(fields[0], 0, 59, '') && isField(fields[1], 0, 59, '') && isField(fields[2], 0, 23, '') && isField(
        fields[3],
        1,
        31,
        ''
      ) && isField(fields[4], 1, 12, 'jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec') && isField(
        fields[5],
        0,
        7,
        'sun,mon,tue,wed,thu,fri,sat'
      )
    : false

func isField(field string, least int, most int, names string) bool =>
  empty(filter(split(field, ','), item => !isItem(split(item, '/'), least, most, split(names, ','))))

// An item is * or a value or a range of values, and may have a step.
func isItem(parts string[], least int, most int, names string[]) bool =>
  length(parts) <= 2 && isRange(split(parts[0], '-'), least, most, names) && empty(filter(
    skip(parts, 1),
    step => !isBetween(step, 1, most)
  ))

func isRange(ends string[], least int, most int, names string[]) bool =>
  length(ends) <= 2 && (ends == ['*'] || empty(filter(
    ends,
    end => !isBetween(end, least, most) && (empty(end) || !contains(names, toLower(end)))
  )))

func isBetween(text string, least int, most int) bool =>
  isNumber(text, 2) ? int(text) >= least && int(text) <= most : false

@export()
@description('Returns settings of the product whose durations, aliases, statuses and endpoint it can read.')
func settings(values { *: string }) { *: string } =>
  empty(problems(values)) ? values : fail('settings: ${join(problems(values), '; ')}')

func problems(values { *: string }) string[] =>
  concat(
    map(
      filter(['LOOKBACK', 'CORRELATION_SPAN', 'MAX_CATCH_UP', 'MAX_LATENESS'], name => seconds(values[name]) == 0),
      name => '${name} is "${values[name]}", and takes a duration such as PT1H, PT90M or P1D'
    ),
    seconds(values.LOOKBACK) < 3600 + seconds(values.CORRELATION_SPAN)
      ? ['LOOKBACK must be at least the hour between runs plus CORRELATION_SPAN, or operations are missed']
      : [],
    seconds(values.MAX_CATCH_UP) < 3600 ? ['MAX_CATCH_UP must be at least PT1H, the hour between runs'] : [],
    map(
      filter(['WATCHLIST_ALIAS', 'EXCLUSIONS_ALIAS'], name => !isAlias(values[name])),
      name =>
        '${name} is "${values[name]}", and takes a watchlist\'s alias: letters, digits, _ and -, not beginning with a digit or -'
    ),
    isOneOf(values.SUCCESS_STATUSES, 'success,succeeded')
      ? []
      : [
          'SUCCESS_STATUSES is "${values.SUCCESS_STATUSES}", and takes words of letters, comma separated, among them Success or Succeeded'
        ],
    empty(values.?LOGS_QUERY_ENDPOINT ?? '') || isEndpoint(values.?LOGS_QUERY_ENDPOINT ?? '')
      ? []
      : ['LOGS_QUERY_ENDPOINT is "${values.?LOGS_QUERY_ENDPOINT}", and takes an https address']
  )

@export()
@description('Returns true for a text that a watchlist\'s alias can be.')
func isAlias(text string) bool =>
  isMadeOf(text, 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-') && !isMadeOf(
    take(text, 1),
    '0123456789-'
  )

@export()
@description('Returns true for words of letters, comma separated, of which one is known; known is in lower case.')
func isOneOf(words string, known string) bool =>
  isMadeOf(replace(replace(words, ',', ''), ' ', ''), 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ') && !empty(intersection(
    map(split(toLower(words), ','), word => trim(word)),
    split(known, ',')
  )) && empty(filter(split(words, ','), word => contains(trim(word), ' ')))

@export()
@description('Returns true for an https address without a path.')
func isEndpoint(address string) bool =>
  startsWith(address, 'https://') && isMadeOf(
    split('${address}//', '/')[2],
    'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-'
  ) && contains(['', '/'], skip(address, length('https://${split('${address}//', '/')[2]}')))

@export()
@description('Returns the seconds of an ISO 8601 duration in days, hours, minutes and seconds; 0 if it is none.')
func seconds(text string) int =>
  startsWith(text, 'P') && text == toUpper(text) && !contains(text, '|')
    ? secondsOf(split(
        replace(
          replace(replace(replace(replace(skip(text, 1), 'D', 'D|'), 'T', 'T|'), 'H', 'H|'), 'M', 'M|'),
          'S',
          'S|'
        ),
        '|'
      ))
    : 0

// The parts of P1DT2H30M are 1D, T, 2H, 30M and an empty one.
func secondsOf(parts string[]) int =>
  isDuration(parts)
    ? reduce(
        filter(parts, part => length(part) > 1),
        0,
        (sum, part) => sum + int(take(part, length(part) - 1)) * { D: 86400, H: 3600, M: 60, S: 1 }[last(part)]
      )
    : 0

func isDuration(parts string[]) bool =>
  contains(
    [
      'D'
      'TH'
      'TM'
      'TS'
      'THM'
      'THS'
      'TMS'
      'THMS'
      'DTH'
      'DTM'
      'DTS'
      'DTHM'
      'DTHS'
      'DTMS'
      'DTHMS'
    ],
    join(map(parts, part => last(part)), '')
  ) && empty(last(parts)) && empty(filter(
    parts,
    part =>
      !contains(['', 'T'], part) && !isNumber(
        take(part, max(0, length(part) - 1)),
        { D: 4, H: 5, M: 6, S: 7, T: 0 }[last(part)]
      )
  ))

func isNumber(text string, digits int) bool => isMadeOf(text, '0123456789') && length(text) <= digits

func isMadeOf(text string, characters string) bool =>
  !empty(text) && empty(filter(range(0, length(text)), at => !contains(characters, substring(text, at, 1))))

func hasOneOf(text string, characters string) bool =>
  !empty(filter(range(0, length(characters)), at => contains(text, substring(characters, at, 1))))
