package hub

// claimsUpdate is where the servers take a changed account.
const claimsUpdate = "$SYS.REQ.CLAIMS.UPDATE"
