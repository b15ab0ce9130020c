#!/bin/sh
# Makes the certificates of the tests anew, with OpenSSL 3. They are committed,
# so that the tests need no tool, and valid from 2000 to 2099, so that they need
# no care. The keys are public: nothing outside the tests may trust them.
#
#   ca.pem                      the authority; no platform trusts it by itself
#   server.pem, server_key.pem  localhost, example.test, 127.0.0.1 and ::1
#   expired.pem                 the same name and key, valid until 2001
#   client.pem, client_key.pem  a client's
#   broken.pem                  by hand: no certificate between its lines
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat > "$work/config" <<END
[ca]
default_ca = test
[test]
dir = $work
new_certs_dir = $work
database = $work/index
rand_serial = yes
default_md = sha256
policy = policy
unique_subject = no
[policy]
commonName = supplied
[req]
distinguished_name = name
[name]
[ca_extensions]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[server_extensions]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, DNS:example.test, IP:127.0.0.1, IP:::1
[client_extensions]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
END
: > "$work/index"

# key FILE
key() {
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"
}

# certificate NAME KEY EXTENSIONS LAST_YEAR FILE [OPTION...]
certificate() {
  subject=$1 key=$2 extensions=$3 year=$4 file=$5
  shift 5
  openssl req -new -config "$work/config" -key "$key" -subj "/CN=$subject" \
    -out "$work/request"
  openssl ca -batch -notext -config "$work/config" -in "$work/request" \
    -extensions "$extensions" -startdate 20000101000000Z \
    -enddate "${year}1231235959Z" -out "$file" "$@"
}

key "$work/ca_key.pem"
key server_key.pem
key client_key.pem
certificate "Test authority" "$work/ca_key.pem" ca_extensions 2099 ca.pem \
  -selfsign -keyfile "$work/ca_key.pem"
set -- -cert ca.pem -keyfile "$work/ca_key.pem"
certificate example.test server_key.pem server_extensions 2099 server.pem "$@"
certificate example.test server_key.pem server_extensions 2001 expired.pem "$@"
certificate client client_key.pem client_extensions 2099 client.pem "$@"
