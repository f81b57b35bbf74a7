// The choices of private networking. Everything is public, and accepts identities only, unless they say
// otherwise. Networks, DNS zones and the private link scope exist already: whoever runs the network has
// them, and an Azure Monitor private link scope serves a whole network.

import { idsOf, optionalId } from 'checks.bicep'

@export()
@description('The choices of private networking, each of them optional.')
@sealed()
type networkChoices = {
  @description('The subnet that the app sends from. It is delegated to Microsoft.App/environments, in the region of the app.')
  appSubnetResourceId: string?

  @description('The subnet of the private endpoint of storage, whose public access is then off.')
  endpointSubnetResourceId: string?

  @description('The private DNS zone for blobs, in which the endpoint registers; leave it out if a policy does that.')
  blobDnsZoneResourceId: string?

  @description('The Azure Monitor private link scope through which findings and traces are sent, and in no other way.')
  privateLinkScopeResourceId: string?

  @description('Public addresses or ranges that may use storage; others and all networks but the app\'s may then not.')
  storageAllowedIpRanges: string[]?

  @description('Subnets with the service endpoint Microsoft.Storage that may use storage, likewise.')
  storageAllowedSubnetResourceIds: string[]?
}

@export()
@description('The choices, complete: an empty text or list where none was made.')
type networkSettings = {
  appSubnetId: string
  endpointSubnetId: string
  blobDnsZoneId: string
  privateLinkScopeId: string
  storageIpRanges: string[]
  storageSubnetIds: string[]
}

@export()
@description('Returns the choices, or ends the deployment with a sentence if they leave the app without storage.')
func networkOf(choices networkChoices) networkSettings =>
  empty(problems(choices))
    ? {
        appSubnetId: subnet(choices.?appSubnetResourceId ?? '', 'appSubnetResourceId')
        endpointSubnetId: subnet(choices.?endpointSubnetResourceId ?? '', 'endpointSubnetResourceId')
        blobDnsZoneId: optionalId(
          choices.?blobDnsZoneResourceId ?? '',
          'network.blobDnsZoneResourceId',
          'a private DNS zone',
          'Microsoft.Network/privateDnsZones'
        )
        privateLinkScopeId: optionalId(
          choices.?privateLinkScopeResourceId ?? '',
          'network.privateLinkScopeResourceId',
          'an Azure Monitor private link scope',
          'Microsoft.Insights/privateLinkScopes'
        )
        storageIpRanges: choices.?storageAllowedIpRanges ?? []
        storageSubnetIds: idsOf(
          choices.?storageAllowedSubnetResourceIds ?? [],
          'network.storageAllowedSubnetResourceIds',
          'a subnet',
          'Microsoft.Network/virtualNetworks/subnets'
        )
      }
    : fail('network: ${join(problems(choices), '; ')}')

func subnet(id string, parameter string) string =>
  optionalId(id, 'network.${parameter}', 'a subnet', 'Microsoft.Network/virtualNetworks/subnets')

func problems(choices networkChoices) string[] =>
  concat(
    // Flex Consumption has no fixed outgoing addresses, so only a subnet of its own lets the app in.
    empty(choices.?appSubnetResourceId ?? '') && !empty(union(limits(choices), scope(choices)))
      ? [
          'Set appSubnetResourceId too: ${join(union(limits(choices), scope(choices)), ' and ')} would shut out the app itself'
        ]
      : [],
    !empty(choices.?endpointSubnetResourceId ?? '') && length(limits(choices)) > 1
      ? [
          'With endpointSubnetResourceId, storage has no public access that ${join(skip(limits(choices), 1), ' and ')} could limit'
        ]
      : [],
    !empty(choices.?blobDnsZoneResourceId ?? '') && empty(choices.?endpointSubnetResourceId ?? '')
      ? ['blobDnsZoneResourceId needs endpointSubnetResourceId']
      : []
  )

func limits(choices networkChoices) string[] =>
  concat(
    empty(choices.?endpointSubnetResourceId ?? '') ? [] : ['endpointSubnetResourceId'],
    empty(choices.?storageAllowedIpRanges ?? []) ? [] : ['storageAllowedIpRanges'],
    empty(choices.?storageAllowedSubnetResourceIds ?? []) ? [] : ['storageAllowedSubnetResourceIds']
  )

func scope(choices networkChoices) string[] =>
  empty(choices.?privateLinkScopeResourceId ?? '') ? [] : ['privateLinkScopeResourceId']
