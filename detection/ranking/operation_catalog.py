"""What each kind of operation means to an analyst: the table, and nothing else.

Under each class stand its operations: points of risk, MITRE ATT&CK technique (version 19), the
name as AzureActivity writes it without case, and what it did in plain words. `*` in a name is any
text, or none. Where several lines fit, `classes.py` takes the one that says most.
"""

CLASSES = """
authorization: who may do what
    42 T1098.003 microsoft.authorization/roleassignments/write      gave somebody a role
    42 T1098.003 microsoft.authorization/roledefinitions/write      changed what a role allows
    42 T1098.003 microsoft.authorization/roleassignmentschedulerequests/write  gave a timed role
    42 T1098.003 microsoft.authorization/roleeligibilityschedulerequests/write made a role eligible
    42 T1098.003 microsoft.managedservices/registrationassignments/write  delegated to a tenant
    38 T1098.003 microsoft.managedservices/registrationdefinitions/write  offered to delegate
    36 T1098.003 microsoft.authorization/rolemanagementpolicies/write     eased a role's activation
    40 T1685     microsoft.authorization/locks/delete               took a lock off
    12 T1578.005 microsoft.authorization/locks/write                put a lock on
    30 T1531     microsoft.authorization/roleassignments/delete     took a role away
    30 T1531     microsoft.authorization/roledefinitions/delete     deleted a role definition
    36 T1685     microsoft.authorization/denyassignments/delete     lifted a denial
    36 T1685     microsoft.authorization/policyexemptions/write     exempted from a policy
    36 T1685     microsoft.authorization/policyassignments/delete   lifted a policy
    24 T1685     microsoft.authorization/policyassignments/write    changed where a policy applies
    24 T1685     microsoft.authorization/policydefinitions/*        changed a policy
    24 T1685     microsoft.authorization/policysetdefinitions/*     changed a set of policies
    36 T1098.003 microsoft.keyvault/vaults/accesspolicies/write     let somebody into a key vault
    38 T1666     microsoft.management/managementgroups/subscriptions/*  moved a subscription
    38 T1666     microsoft.subscription/*                           changed a subscription itself
    30 T1098.003 microsoft.documentdb/databaseaccounts/*roleassignments/write  gave a data role

defence evasion: what would have been seen or stopped
    40 T1685.002 microsoft.insights/diagnosticsettings/delete       switched a log off
    26 T1685.002 microsoft.insights/diagnosticsettings/write        changed where a log goes
    38 T1685.002 microsoft.insights/datacollectionrules/delete      stopped a collection of logs
    26 T1685.002 microsoft.insights/datacollectionrules/write       changed a collection of logs
    34 T1685.002 microsoft.insights/datacollectionruleassociations/delete  took a machine off logs
    36 T1685     microsoft.insights/activitylogalerts/delete        deleted an alert rule
    36 T1685     microsoft.insights/scheduledqueryrules/delete      deleted an alert rule
    36 T1685     microsoft.insights/alertrules/delete               deleted an alert rule
    34 T1685     microsoft.insights/actiongroups/delete             deleted who is told of alerts
    24 T1685     microsoft.insights/actiongroups/write              changed who is told of alerts
    36 T1685     microsoft.alertsmanagement/actionrules/write       silenced alerts
    40 T1685     microsoft.securityinsights/alertrules/delete       deleted a Sentinel rule
    30 T1685     microsoft.securityinsights/alertrules/write        changed a Sentinel rule
    34 T1685     microsoft.securityinsights/automationrules/*       changed Sentinel's automation
    34 T1685     microsoft.securityinsights/watchlists/*            changed a Sentinel watchlist
    40 T1685.002 microsoft.securityinsights/dataconnectors/delete   cut Sentinel off a source
    40 T1685     microsoft.securityinsights/onboardingstates/delete took Sentinel off a workspace
    40 T1685.002 microsoft.operationalinsights/workspaces/delete    deleted a log workspace
    34 T1685.002 microsoft.operationalinsights/workspaces/tables/*  changed how long logs are kept
    34 T1685.002 microsoft.operationalinsights/workspaces/dataexports/*  changed a log export
    36 T1685     microsoft.security/pricings/write                  changed a Defender plan
    36 T1685     microsoft.security/alertssuppressionrules/write    suppressed Defender alerts
    30 T1685     microsoft.security/autoprovisioningsettings/write  changed agents' provisioning
    30 T1685     microsoft.security/securitycontacts/*              changed who Defender tells
    30 T1685     microsoft.security/automations/delete              stopped a Defender export
    36 T1685.002 microsoft.network/networkwatchers/flowlogs/delete  switched flow logs off
    32 T1685.002 microsoft.network/networkwatchers/delete           deleted a network watcher
    36 T1686.001 microsoft.network/azurefirewalls/delete            deleted a firewall
    30 T1686.001 microsoft.network/azurefirewalls/write             changed a firewall
    32 T1686.001 microsoft.network/firewallpolicies/*               changed a firewall's policy
    30 T1686.001 microsoft.network/networksecuritygroups/*          changed network filtering
    30 T1686.001 microsoft.network/applicationgatewaywebapplicationfirewallpolicies/*  changed a WAF
    30 T1686.001 microsoft.network/frontdoorwebapplicationfirewallpolicies/*  changed a WAF
    30 T1686     microsoft.network/ddosprotectionplans/delete       deleted a DDoS protection plan
    32 T1686.001 */firewallrules/*                                  changed a service's firewall
    32 T1686.001 */virtualnetworkrules/*                            changed a service's firewall
    32 T1685.002 microsoft.sql/*auditingsettings/*                  changed a database's audit
    30 T1685     microsoft.sql/*securityalertpolicies/*             changed threat detection

persistence: a way back in
    40 T1098.001 */federatedidentitycredentials/write               let an outsider be an identity
    26 T1136.003 microsoft.managedidentity/userassignedidentities/write  made an identity
    36 T1098.001 microsoft.storage/storageaccounts/localusers/write made a local storage user
    32 T1098.001 microsoft.web/sites/basicpublishingcredentialspolicies/*  allowed passwords
    30 T1098.001 microsoft.containerregistry/registries/tokens/write  made a registry token
    30 T1098.001 microsoft.eventhub/*authorizationrules/write       made an access key
    30 T1098.001 microsoft.servicebus/*authorizationrules/write     made an access key
    32 T1098.004 microsoft.compute/sshpublickeys/write              stored an SSH key

vault and storage control: the services that were signed in to
    30 T1555.006 microsoft.keyvault/vaults/write                    changed a key vault's settings
    32 T1555.006 microsoft.keyvault/vaults/secrets/write            wrote a secret
    32 T1555.006 microsoft.keyvault/vaults/keys/*                   changed a key
    30 T1555.006 microsoft.keyvault/managedhsms/write               changed an HSM's settings
    30 T1555.006 microsoft.keyvault/vaults/privateendpointconnections/*  changed a vault's network
    28 T1530     microsoft.storage/storageaccounts/write            changed a storage account
    26 T1530     microsoft.storage/storageaccounts/blobservices/*   changed blobs' settings
    26 T1530     microsoft.storage/storageaccounts/fileservices/*   changed shares' settings
    26 T1530     microsoft.storage/storageaccounts/queueservices/*  changed queues
    26 T1530     microsoft.storage/storageaccounts/tableservices/*  changed tables
    26 T1486     microsoft.storage/storageaccounts/encryptionscopes/write  changed encryption
    26 T1530     microsoft.storage/storageaccounts/privateendpointconnections/*  changed a network

execution: code run with somebody's rights
    36 T1651     microsoft.compute/*runcommands/write               ran a command on a machine
    36 T1651     microsoft.compute/*/extensions/write               put an extension on a machine
    36 T1651     microsoft.hybridcompute/machines/runcommands/write ran a command on a machine
    36 T1651     microsoft.hybridcompute/machines/extensions/write  put an extension on a machine
    34 T1651     microsoft.automation/automationaccounts/runbooks/* changed a runbook
    36 T1651     microsoft.automation/automationaccounts/jobs/write ran a runbook
    32 T1053     microsoft.automation/automationaccounts/jobschedules/write  scheduled a runbook
    28 T1053     microsoft.automation/automationaccounts/schedules/write  made a schedule
    34 T1648     microsoft.automation/automationaccounts/webhooks/write  opened a runbook to the web
    34 T1059.009 microsoft.resources/deploymentscripts/write        ran a deployment script
    28 T1648     microsoft.logic/workflows/write                    changed a logic app
    28 T1648     microsoft.web/sites/functions/write                changed a function's code
    28 T1648     microsoft.web/sites/extensions/write               deployed code to an app
    28 T1648     microsoft.web/sites/sourcecontrols/write           changed where code comes from
    28 T1610     microsoft.containerinstance/containergroups/write  ran a container
    28 T1610     microsoft.app/jobs/write                           ran a container
    28 T1525     microsoft.containerregistry/registries/tasks/write made a build task
    24 T1578.002 microsoft.compute/virtualmachines/write            made or changed a machine
    24 T1578.002 microsoft.compute/virtualmachinescalesets/write    made or changed machines

exfiltration preparation: data made ready to leave
    34 T1578.001 microsoft.compute/snapshots/write                  copied a disk
    34 T1578.001 microsoft.compute/restorepointcollections/restorepoints/write  copied a machine
    28 T1578     microsoft.compute/disks/write                      made or changed a disk
    30 T1578     microsoft.compute/images/write                     made an image of a machine
    30 T1537     microsoft.compute/galleries/*                      shared an image of a machine
    36 T1537     microsoft.storage/storageaccounts/objectreplicationpolicies/write  copied blobs
    36 T1537     microsoft.databox/jobs/write                       ordered data on a disk
    36 T1537     microsoft.importexport/jobs/write                  ordered data on a disk
    34 T1537     microsoft.datashare/accounts/shares/*              shared data
    34 T1040     microsoft.network/networkwatchers/packetcaptures/write  recorded network traffic
    30 T1537     microsoft.sql/servers/databases/extensions/write   exported a database
    26 T1537     microsoft.datafactory/factories/pipelines/write    changed a data pipeline
    26 T1599     microsoft.network/virtualnetworks/virtualnetworkpeerings/write  joined two networks

destruction: what is hard to get back
    44 T1485     microsoft.resources/subscriptions/resourcegroups/delete  deleted a resource group
    44 T1485     microsoft.storage/storageaccounts/delete           deleted a storage account
    42 T1485     microsoft.storage/storageaccounts/blobservices/containers/delete  deleted blobs
    42 T1485     microsoft.storage/storageaccounts/fileservices/shares/delete  deleted a share
    38 T1485     microsoft.storage/storageaccounts/tableservices/tables/delete  deleted a table
    38 T1485     microsoft.storage/storageaccounts/queueservices/queues/delete  deleted a queue
    44 T1490     microsoft.storage/*/containers/immutabilitypolicies/*  unlocked kept blobs
    36 T1485.001 microsoft.storage/storageaccounts/managementpolicies/write  set blobs to expire
    44 T1485     microsoft.keyvault/vaults/delete                   deleted a key vault
    44 T1485     microsoft.keyvault/managedhsms/delete              deleted an HSM
    44 T1490     microsoft.recoveryservices/vaults/delete           deleted a backup vault
    44 T1490     microsoft.recoveryservices/vaults/*/protecteditems/delete  deleted a backup
    44 T1490     microsoft.recoveryservices/vaults/*guardproxies/delete  unguarded backups
    38 T1490     microsoft.recoveryservices/vaults/*/delete         deleted something of a backup
    42 T1490     microsoft.recoveryservices/vaults/backupconfig/write  changed backups' soft delete
    30 T1490     microsoft.recoveryservices/vaults/write            changed a backup vault
    30 T1490     microsoft.recoveryservices/vaults/*/write          changed what is backed up
    44 T1490     microsoft.dataprotection/backupvaults/delete       deleted a backup vault
    44 T1490     microsoft.dataprotection/backupvaults/backupinstances/delete  deleted a backup
    44 T1490     microsoft.dataprotection/backupvaults/*guardproxies/delete  unguarded backups
    38 T1490     microsoft.dataprotection/backupvaults/*/delete     deleted something of a backup
    30 T1490     microsoft.dataprotection/backupvaults/*write       changed what is backed up
    42 T1490     microsoft.dataprotection/resourceguards/*          changed what guards backups
    44 T1485     microsoft.sql/servers/delete                       deleted a database server
    44 T1485     microsoft.sql/managedinstances/delete              deleted a database server
    44 T1485     microsoft.sql/*databases/delete                    deleted a database
    40 T1490     microsoft.sql/*retentionpolicies/*                 changed how backups are kept
    44 T1485     microsoft.documentdb/databaseaccounts/delete       deleted a database account
    44 T1485     microsoft.documentdb/databaseaccounts/*databases/delete  deleted a database
    42 T1485     microsoft.documentdb/databaseaccounts/*databases/*/delete  deleted a collection
    44 T1485     microsoft.dbfor*servers/delete                     deleted a database server
    42 T1490     microsoft.compute/snapshots/delete                 deleted a copy of a disk
    42 T1490     microsoft.compute/restorepointcollections/*delete  deleted copies of a machine
    40 T1485     microsoft.compute/disks/delete                     deleted a disk
    36 T1485     microsoft.compute/images/delete                    deleted an image of a machine
    36 T1578.003 microsoft.compute/virtualmachines/delete           deleted a machine
    36 T1578.003 microsoft.compute/virtualmachinescalesets/delete   deleted machines
    38 T1485     microsoft.containerservice/managedclusters/delete  deleted a cluster
    38 T1485     microsoft.containerregistry/registries/delete      deleted a container registry
    40 T1485     microsoft.netapp/*/volumes/delete                  deleted a volume

routine: what pipelines and Azure itself do all day
    0 T1059.009 microsoft.resources/deployments/*                   ran a deployment
    0 T1059.009 microsoft.resources/tags/*                          changed tags
    0 T1059.009 microsoft.resources/subscriptions/tagnames/*        changed tags
    0 T1059.009 microsoft.insights/metricalerts/*                   changed a metric alert
    0 T1059.009 microsoft.insights/autoscalesettings/*              changed how an app grows
    0 T1059.009 microsoft.insights/workbooks/*                      changed a workbook
    0 T1059.009 microsoft.portal/dashboards/*                       changed a dashboard
    0 T1059.009 microsoft.advisor/*                                 changed a recommendation

other: changes of any other kind
    8 T1059.009 *                                                   changed a resource
"""

# Operations outside the rule that say more about an identity once it has a finding.
ACTIONS = """
credential access: keys and tokens handed out
    4 T1552     */listkeys/action                                   read keys
    4 T1552     */listkey/action                                    read keys
    4 T1552     */listadminkeys/action                              read admin keys
    4 T1552     */listquerykeys/action                              read query keys
    4 T1552     */listauthkeys/action                               read keys
    4 T1552     */listaccountsas/action                             made a token for an account
    4 T1552     */listservicesas/action                             made a token for a service
    4 T1552     */listsecrets/action                                read secrets
    4 T1552     */listconnectionstrings/action                      read connection strings
    4 T1552     */listcredentials/action                            read passwords
    4 T1552     */listclusteradmincredential/action                 read a cluster's admin login
    4 T1552     */listclusterusercredential/action                  read a cluster's login
    4 T1552     */listcallbackurl/action                            read a trigger's address
    4 T1552     */sharedkeys/action                                 read a workspace's keys
    4 T1552     microsoft.web/sites/config/list/action              read an app's settings
    4 T1552     microsoft.web/sites/slots/config/list/action        read an app's settings
    4 T1552     microsoft.web/sites/publishxml/action               read an app's deploy login
    4 T1098.001 */regeneratekey/action                              replaced a key
    4 T1098.001 */regeneratekeys/action                             replaced keys
    4 T1098.001 */regenerateaccesskey/action                        replaced a key
    4 T1098.001 */regeneratecredential/action                       replaced a password
    4 T1537     */begingetaccess/action                             made a link to a disk

grave actions: changes that have neither WRITE nor DELETE in their names
    4 T1651     */runcommand/action                                 ran a command on a machine
    4 T1537     microsoft.sql/servers/databases/export/action       exported a database
    4 T1485     microsoft.keyvault/*/purge/action                   purged what had been deleted
    4 T1098.003 microsoft.authorization/elevateaccess/action        took over every subscription
    4 T1098     microsoft.managedidentity/userassignedidentities/assign/action  lent an identity
"""
