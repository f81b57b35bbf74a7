"""The words of operation names that are Azure's own, so they cannot identify anybody.

An operation name is `namespace/type/.../verb`. In logs it may contain the name of a resource, or
any text from a custom provider. Known words are those of the catalogue of operations and the
common ones below.
"""

from itertools import chain
from typing import Final

from detection.ranking.classify import ACTION, CHANGE, catalog

_VERBS = """
    action write delete read list get start stop restart poweroff deallocate move validate register
    unregister join assign attach detach apply backup restore failover cancel approve reject sync
    purge reset rotate upgrade swap import export enable disable
"""
_NAMESPACES = """
    dynatrace.observability lambdatest.hyperexecute microsoft.aad microsoft.aadiam
    microsoft.advisor microsoft.alertsmanagement microsoft.analysisservices
    microsoft.apimanagement microsoft.app microsoft.appconfiguration microsoft.applink
    microsoft.appplatform microsoft.authorization microsoft.automation microsoft.batch
    microsoft.billing microsoft.botservice microsoft.cache microsoft.cdn microsoft.changesafety
    microsoft.classiccompute microsoft.classicstorage microsoft.cognitiveservices
    microsoft.communication microsoft.compute microsoft.consumption microsoft.containerinstance
    microsoft.containerregistry microsoft.containerservice microsoft.costmanagement
    microsoft.dashboard microsoft.databox microsoft.databricks microsoft.datafactory
    microsoft.datalakestore microsoft.datamigration microsoft.dataprotection microsoft.datashare
    microsoft.dbformariadb microsoft.dbformysql microsoft.dbforpostgresql
    microsoft.desktopvirtualization microsoft.devcenter microsoft.devices microsoft.devtestlab
    microsoft.documentdb microsoft.domainregistration microsoft.eventgrid microsoft.eventhub
    microsoft.features microsoft.guestconfiguration microsoft.hdinsight microsoft.hybridcompute
    microsoft.impact microsoft.importexport microsoft.insights
    microsoft.iotoperationsdataprocessor microsoft.iotoperationsmq microsoft.keyvault
    microsoft.kubernetes microsoft.kusto microsoft.logic microsoft.machinelearning
    microsoft.machinelearningservices microsoft.maintenance microsoft.managedidentity
    microsoft.managedservices microsoft.management microsoft.maps microsoft.marketplace
    microsoft.migrate microsoft.monitor microsoft.netapp microsoft.network microsoft.notebooks
    microsoft.notificationhubs microsoft.operationalinsights microsoft.operationsmanagement
    microsoft.policyinsights microsoft.portal microsoft.powerbidedicated microsoft.purview
    microsoft.recoveryservices microsoft.relay microsoft.resourcehealth microsoft.resources
    microsoft.saas microsoft.search microsoft.security microsoft.securityinsights
    microsoft.servicebus microsoft.servicefabric microsoft.signalrservice microsoft.sql
    microsoft.sqlvirtualmachine microsoft.storage microsoft.storagesync
    microsoft.streamanalytics microsoft.subscription microsoft.support microsoft.synapse
    microsoft.videoindexer microsoft.web microsoft.weightsandbiases
"""
_TYPES = """
    acceptchangetenant acceptownership accesspolicies accessreviewhistorydefinitions
    accessreviewscheduledefinitions accountbackups accounts actiongroups addons addsservices
    addusers administrators afdendpoints agentdeployments agentpools aiservices
    akriconnectortemplates akriservices alertrules alerts apis apms appattachpackages
    applicationgateways applicationgatewaywebapplicationfirewallpolicies applicationinstances
    applicationsecuritygroups applicationtypes appsettings associatetrafficfilter
    attachdetachdatadisks attachments auditingsettings authentication authentications
    authorization authorizationrules authorizeexternalreplication authorizereplication
    autoactions automationaccounts availabilitygroups availabilitysets azuredevopsconnectors
    azurefirewalls b2cdirectories backendaddresspools backends backupandexport backupconfig
    backupfabrics backupinstances backupjobs backuplongtermretentionpolicies backuppolicies
    backupprotectioncontainers backupprotectionintent backupresourceguardproxies backups
    backupshorttermretentionpolicies backupsv2 backupvaultconfigs backupvaults
    baremetalmachinekeysets baselines bastionhosts batchaccounts batchendpoints
    billingroleassignments billingsubscriptionaliases billingsubscriptions blobcontainers blobs
    blobservices bmckeysets breakreplication broker brokers bulkdeploysolution capacitypools
    cassandrakeyspaces cassandraroleassignments cassandraroledefinitions centralinstances
    certificates ciamdirectories claim claimanyvm clearlegalhold clearsuspects clientconnection
    clientencryptionkeys cloudendpoints cloudexadatainfrastructures clusterresourceplacements
    clusters codes collections comments communityendpoints components config configurations
    connectedenvironments connections connectors consumergroups containerapps containergroups
    containers coordination.k8s.io copyjobs createandassociateipfilter
    createandassociateplfilter createapikey createarcidentity createbillingroleassignment
    createclusteridentity credentials customdomains cutovermigration daprcomponents dashboards
    databaseaccounts databaseinstances databases datacollectionendpoints
    datacollectionruleassociations datacollectionrules dataconnections dataflowendpoints
    dataflowgraphs dataflowprofiles datalakeconnector datalakestoreaccounts
    datamanagementrpoperationstatuses datasets datatransferjobs dbnodes ddmsconnectors
    ddmsfhireventbatchchannels ddmsfhirflatfilebatchchannels ddosprotectionplans
    dedicatedcloudnodes dedicatedcloudservices deletecheckpoint deletereplication
    deletetrafficfilter departments deployments deploymentscripts deploymentslots
    detachanddeletetrafficfilter detachtrafficfilter detachvnet devboxes devices
    devopsauditingsettings diagnosticruncommands diagnosticsettings dicomconnectors
    dicomdirectchannels dicomedgeconnectors dicomservices directories disableavsconnection
    disablecustomhttps diskencryptionsets disks dnsaliases dnsforwardingrulesets
    dnsresolverpolicies dnszones domains dryruns edgemodules elasticaccounts
    elasticbackuppolicies elasticbackups elasticbackupvaults elasticcapacitypools elasticpools
    elasticsnapshotpolicies elasticsnapshots elasticvolumes emergencystop enableremotedebugging
    enclaveendpoints encryptionprotector endpoints enrollmentaccounts entities
    environmentsettings eventchannels eventhubconnections eventhubs eventsubscriptions
    exadbvmclusters exascaledbstoragevaults experimentationgroups experimentworkspaces
    exporttemplate expressroutecircuits expressrouteconnections expressroutecrossconnections
    expressroutegateways extendedauditingsettings extensions externalnetworks failovercommit
    failovergroups failovermilink featuresets featurestoreentities featurestores
    federatedidentitycredentials fhir fhirdestinations fhirqueryeventbatchchannels
    fhirqueryflatfilebatchchannels fhirservices filecontents fileservices fileshares
    fine-tunes-deployments fine_tuning_deployments firewallpolicies firewallrules firmwares
    fixresourcepermissions flexibleservers flowlogs flush fqdnlists frontdoors
    frontdoorwebapplicationfirewallpolicies functions galleries generateaccesstoken
    generateakvcredentials generatecertificate generateconfigurations generatecryptokeylist
    generatedownloadurl generateextensionaccesstoken
    generateextensionrestrictedvieweraccesstoken generatefilesystemdownloadurl
    generatepassphrase generatepasswordhashlist generaterestrictedvieweraccesstoken
    generatesastoken generateuploadurl generatevpnprofile geobackuppolicies getaccesstoken
    getbuildsourceuploadurl getdefaultapplicationkey getdefaultkey getdeliveryattributes
    getencryptionkey getfullurl getorganizationapikey getpolicypropertieswithsecrets
    getrdpfilecontents getresourceuploadurl getsecrets getuploadtoken githubconnectors
    globalrulestacks goalassignments goaltemplates graphs gremlindatabases
    gremlinroleassignments gremlinroledefinitions groups handleapprovalcreation
    handleapprovaldeletion hl7connectors hl7edgeconnectors hostedpools hostingenvironments
    hostnamebindings hostpools hubroutetables hubs hybridconnection hybridconnectionnamespaces
    images immutabilitypolicies immutablestorage inboundnatrules instancefailovergroups
    instances integrationaccounts internalnetworks invoicesections iothubs ipconfigurations
    ipv6firewallrules issuecertificate issues jobs jobschedules kafkaconnector keys
    l2isolationdomains l2networks l3isolationdomains l3networks leases legalholds
    licenseprofiles licenses linkedintegrationruntime linkedservices linkers listaccesstoken
    listadminkubeconfig listalltrafficfilters listapikeys listassociatedtrafficfilters
    listauthkeys listbuildarguments listbuildsourceuploadurl listchannelwithkeys
    listclusteradmincredential listclustermonitoringusercredential listclusterusercredential
    listconfigurations listconnectioninfo listconnectionkeys listconnectionparameters
    listconnectionstrings listcontainersas listcontentcallbackurl listcontentkeys
    listcontenttoken listdcaccesscode listdetails listener listeners listenvsecrets
    listexpressiontraces listingressgatewaycredentials listkey listlogsasurl
    listmanagedproxydetails listprovisioningtoken listregistrationtokens listsas listsastokens
    listsecretkeys liststreamingtoken listuserkubeconfig listworkspacekeys loadbalancers
    loadbalancingrules localnetworkgateways localrules localrulestacks localusers locks loggers
    loginasadmin longtermretentionbackups longtermretentiondatabases
    longtermretentionmanagedinstancebackups longtermretentionmanagedinstances
    longtermretentionpolicies longtermretentionservers ltrbackup ltrbackupaccess
    ltrrestorefinalize ltrrestoreinitialize machines maintenanceconfigurations managedclusters
    managedclustersnapshots managedcomputedeployments managedenvironments managedhsms
    managedinstances managednamespaces managelibraries managementassociations
    managementconfigurations managementgroups managementpolicies maps metricalerts metrics
    migratenetwork migrations migrationservices models modernizeprojects modifypermissions
    modules mongodbdatabases mongodbroledefinitions mongodbuserdefinitions
    mongomiroleassignments mongomiroledefinitions monitors moveresources mqttbridgeconnector
    msixpackages myworkbooks namedvalues namespaces natgateways netappaccounts
    networkbootstrapdevices networkbootstrapinterfaces networkinterfaces networkprofiles
    networkruleset networkrulesets networksecuritygroups networksecurityperimeters
    networktaprules networktaps networktonetworkinterconnects networktrace networkwatchers
    notebookproxies notificationchannels notifications objectanchorsaccounts
    objectreplicationpolicies onelakeconnectors onlineendpoints openai operations
    operationstatuses orders origingroups origins p2svpngateways packetcapture
    packetcaptureoperation packetcaptures partitions partnerdestinations partnernamespaces
    partnerregistrations partnertopics pausereplication peerexternalcluster pipelines
    placement.kubernetes-fleet.io plannedfailover pnscredentials policies policyfragments pools
    portmirroringprofiles postrules powershell72modules prefixlists prerules privatednszones
    privateendpointconnectionproxies privateendpointconnections privateendpoints
    privatelinkservices probes products profiles protecteditems protectioncontainers
    protectionpolicies providers providersharesubscriptions proximityplacementgroups
    publicipaddresses publicipprefixes publishers python2packages python3packages quarantine
    quarantinedartifacts queues queueservices raiblocklistitems raiblocklists
    raiexternalsafetyproviders raipolicy raitoollabels raitopics ransomwarereports
    readfilebackupsemantics rebuild recipientemails recipientusers recordsets redis
    regenerateaccesskey regenerateauthkey regenerateauthkeys regeneratecredential regeneratekeys
    regenerateprimarykey regeneratesecondarykey registrationassignments registrationdefinitions
    registries reimage reimageall reinstate relays releases remotedebugging
    remoterenderingaccounts remove removedisks removeinfra removelegalholdimmutability
    removetimebasedimmutability removevms repetitions replicas replicationextensions
    replicationjobs replicationlinks replicationmigrationitems replicationprotectionclusters
    replicationprotectioncontainermappings replicationprotectioncontainers
    replicationrecoveryservicesproviders replications requestupdate resetcifspassword
    resetpassword resetqueryperformanceinsightdata resetsmbpassword resiliencypolicies
    resourcegroups resourceguards resources restorecheckpoint restorefiles restorefrombackupblob
    restorefromdeletedapp restorepointcollections restorepoints restoresnapshot
    retrievebootdiagnosticsdata retrieveregistrationtoken retrievesasuris revisions
    roleassignments roledefinitions roleinstances rolemanagementpolicies rotatecredential
    rotatecredentials rotatensxtpassword rotatepasswords rotatevcenterpassword routefilters
    routemaps routes routetables routingconfigurations rulecollectiongroups rulecollections
    rulegroups rules runasbuiltinfileadministrator runassuperuser runbooks runcommands
    rundataextracts rundataextractsrestricted runjob runplaybook runreadcommands saasresources
    sapdiscoverysites sapinstances sapvirtualinstances savedsearches savingsplanorderaliases
    savingsplanorders savingsplans scalesettings scheduledactions schedules schemas scopes
    secrets securityadminconfigurations securityalertpolicies securityoperators securityrules
    securitystandards securityuserconfigurations serverconnection serverendpoints serverfarms
    serverinstances serverlessendpoints servers servertrustcertificates servertrustgroups
    servervulnerabilityassessments servervulnerabilityassessmentssettings
    serviceendpointpolicies serviceendpointpolicydefinitions servicemembers services
    setdefaultkey setdestinationendpointports setdestinationendpoints setenclaveroleassignments
    setmaintenancemode setpassphrase settings setworkloadroleassignments shares sims sites skus
    slots snapshotpolicies snapshots softdeletepolicies solutions solutiontemplates
    sourcecontrols spatialanchorsaccounts spatialmapsaccounts sqlcontainers sqldatabases
    sqlmigrationservices sqlpools sqlroleassignments sqlroledefinitions
    sqlvulnerabilityassessments sshpublickeys standardassignments standards startjob
    startltrbackup startnetworktrace startpacketcapture staticsites steps stoppacketcapture
    storageaccountconnectors storageaccounts storageinsightconfigs storedprocedures
    streamingjobs subnets subscriptions subvolumes suppressionlistaddresses suppressionlists
    suppressions switchover systems systemtopics tableroleassignments tableroledefinitions
    tables tableservices tagdescriptions tagnames tags tagvalues tasks tdecertificates
    templatespecs tenantactiongroups testfailover tests throughputpool throughputpools
    throughputsettings tokens topicmap topics trafficmanagerprofiles transparentdataencryption
    triggers trunkednetworks undoaction unplannedfailover updateaccounts
    updateadministrativestate updateconfigurations updateruns updatestrategies updatetenant
    usages userassignedidentities usercustomize usergetremoteconnection
    useridentityimpersonation users usersessions validators vaultextendedinfo vaults versions
    virtualendpoints virtualhubs virtualmachines virtualmachinescalesets
    virtualmachinesexecutecreate virtualmachinesexecutecreateflex
    virtualmachinesexecutedeallocate virtualmachinesexecutehibernate
    virtualmachinessubmitdeallocate virtualmachinessubmithibernate virtualmachinetemplates
    virtualnetworkconnections virtualnetworkgateways virtualnetworkpeerings virtualnetworks
    virtualwans vmhostpayload vmhostpayloads volumegroups volumes vpnconnections
    vpndeviceconfigurationscript vpngateways vpnserverconfigurations vpnsites
    vulnerabilityassessments webhooks webjobs webtests workbooks workbooktemplates workflows
    workloaddeployments workspacemanagerassignments workspacemanagerconfigurations
    workspacemanagergroups workspacemanagermembers workspaces writefilebackupsemantics zones
"""
AZURE_WORDS: Final = frozenset(
    (
        *chain.from_iterable(text.split() for text in (_VERBS, _NAMESPACES, _TYPES)),
        *(
            word
            for entry in chain(catalog(CHANGE).entries, catalog(ACTION).entries)
            for word in entry.pattern.split("/")
            if "*" not in word
        ),
    )
)
