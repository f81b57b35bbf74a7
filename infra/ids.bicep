// The parts of a resource id: /subscriptions/<id>/resourceGroups/<group>/providers/<type>/<name>. Each is
// empty for an empty id, because Azure evaluates scopes and names of resources that are left out, too.

@export()
@description('The subscription of a resource.')
func subscriptionOf(id string) string => split('${id}////////', '/')[2]

@export()
@description('The resource group of a resource.')
func groupOf(id string) string => split('${id}////////', '/')[4]

@export()
@description('The name of a resource.')
func nameOf(id string) string => split('${id}////////', '/')[8]
