"""The words of operation names that are Azure's own, so that pseudonyms may keep them.

An operation's name is `namespace/type/.../verb`, and in logs it may contain the name of a resource
or anything that a custom provider chose. Only these common words and those of the operation
catalogue are known to identify nobody.
"""

from itertools import chain
from typing import Final

from detection.ranking.classify import ACTION_CLASSES, OPERATION_CLASSES

_VERBS = """
    action write delete read list get start stop restart poweroff deallocate move validate register
    unregister join assign attach detach apply backup restore failover cancel approve reject sync
    purge reset rotate upgrade swap import export enable disable
"""
_NAMESPACES = """
    microsoft.aad microsoft.aadiam microsoft.advisor microsoft.alertsmanagement
    microsoft.analysisservices microsoft.apimanagement microsoft.app microsoft.appconfiguration
    microsoft.appplatform microsoft.authorization microsoft.automation microsoft.batch
    microsoft.billing microsoft.botservice microsoft.cache microsoft.cdn microsoft.classiccompute
    microsoft.classicstorage microsoft.cognitiveservices microsoft.communication microsoft.compute
    microsoft.consumption microsoft.containerinstance microsoft.containerregistry
    microsoft.containerservice microsoft.costmanagement microsoft.dashboard microsoft.databricks
    microsoft.databox microsoft.datafactory microsoft.datalakestore microsoft.datamigration
    microsoft.dataprotection microsoft.datashare microsoft.dbformariadb microsoft.dbformysql
    microsoft.dbforpostgresql microsoft.desktopvirtualization microsoft.devices microsoft.devcenter
    microsoft.devtestlab microsoft.documentdb microsoft.domainregistration microsoft.eventgrid
    microsoft.eventhub microsoft.features microsoft.guestconfiguration microsoft.hdinsight
    microsoft.hybridcompute microsoft.importexport microsoft.insights microsoft.keyvault
    microsoft.kubernetes microsoft.kusto microsoft.logic microsoft.machinelearningservices
    microsoft.maintenance microsoft.managedidentity microsoft.managedservices microsoft.management
    microsoft.maps microsoft.marketplace microsoft.migrate microsoft.monitor microsoft.netapp
    microsoft.network microsoft.notificationhubs microsoft.operationalinsights
    microsoft.operationsmanagement microsoft.policyinsights microsoft.portal
    microsoft.powerbidedicated
    microsoft.purview microsoft.recoveryservices microsoft.relay microsoft.resourcehealth
    microsoft.resources microsoft.search microsoft.security microsoft.securityinsights
    microsoft.servicebus microsoft.servicefabric microsoft.signalrservice microsoft.sql
    microsoft.sqlvirtualmachine microsoft.storage microsoft.storagesync microsoft.streamanalytics
    microsoft.subscription microsoft.support microsoft.synapse microsoft.web
"""
_TYPES = """
    accesspolicies accounts actiongroups addons agentpools alertrules apis applicationgateways
    applicationsecuritygroups appsettings auditingsettings authorizationrules automationaccounts
    availabilitysets
    azurefirewalls backendaddresspools backupconfig backupfabrics backupinstances
    backuplongtermretentionpolicies backuppolicies backupprotectioncontainers backupprotectionintent
    backupresourceguardproxies backups backupshorttermretentionpolicies backupvaultconfigs
    backupvaults bastionhosts batchaccounts blobcontainers blobs blobservices capacitypools
    cassandrakeyspaces certificates clusters collections components config configurations
    connections connectors consumergroups containerapps containergroups containers credentials
    customdomains dashboards databaseaccounts databases datacollectionendpoints
    datacollectionruleassociations datacollectionrules datasets ddosprotectionplans
    deployments deploymentslots deploymentscripts diagnosticsettings disks
    diskencryptionsets dnszones domains elasticpools encryptionprotector endpoints eventhubs
    eventsubscriptions expressroutecircuits extendedauditingsettings extensions
    federatedidentitycredentials filecontents fileservices fileshares firewallpolicies firewallrules
    flexibleservers flowlogs frontdoors functions galleries gremlindatabases graphs
    hostingenvironments hostnamebindings hostpools hubs images immutabilitypolicies
    inboundnatrules instances integrationaccounts ipconfigurations iothubs jobs jobschedules keys
    legalholds linkedservices loadbalancers loadbalancingrules localnetworkgateways localusers
    locks longtermretentionpolicies machines maintenanceconfigurations managedclusters
    managedenvironments managedhsms managedinstances managementgroups managementpolicies
    metricalerts
    metrics modules mongodbdatabases mongodbroledefinitions mongodbuserdefinitions monitors
    namespaces natgateways netappaccounts networkinterfaces networkprofiles networkrulesets
    networksecuritygroups networkwatchers notificationchannels objectreplicationpolicies operations
    packetcaptures partitions pipelines policies pools privatednszones privateendpointconnections
    privateendpointconnectionproxies privateendpoints privatelinkservices probes profiles
    protecteditems protectioncontainers protectionpolicies providers proximityplacementgroups
    publicipaddresses publicipprefixes queues queueservices recordsets registries
    registrationassignments registrationdefinitions replicas replications resourcegroups
    resourceguards resources restorepointcollections restorepoints revisions roleassignments
    roledefinitions routefilters routes routetables rules runbooks runcommands savedsearches
    scalesettings scheduledactions schedules scopes secrets securityalertpolicies securityrules
    serverfarms servers services settings shares sites skus slots snapshots softdeletepolicies
    solutions sourcecontrols sqlcontainers sqldatabases sqlpools sqlroleassignments
    sqlroledefinitions sshpublickeys staticsites storageaccounts storageinsightconfigs
    streamingjobs subnets subscriptions tables tableservices tags tagnames
    tagvalues tasks templatespecs
    tests throughputsettings tokens topics trafficmanagerprofiles transparentdataencryption triggers
    userassignedidentities usages users validators vaults vaultextendedinfo versions
    virtualhubs virtualmachines virtualmachinescalesets virtualnetworkgateways
    virtualnetworkpeerings virtualnetworks virtualwans volumegroups volumes vpnconnections
    vpngateways vpnsites vulnerabilityassessments webhooks webtests workbooks workflows workspaces
    zones
"""
AZURE_WORDS: Final = frozenset(
    (
        *chain.from_iterable(text.split() for text in (_VERBS, _NAMESPACES, _TYPES)),
        *(
            word
            for operation_class in (*OPERATION_CLASSES, *ACTION_CLASSES)
            for word in operation_class.pattern.split("/")
            if "*" not in word
        ),
    )
)
