#!/bin/bash
# Here-documents and here-strings, small and larger than a pipe.
dir=$(mktemp -d) && cd "$dir" || exit 1

name=world
cat << EOF
hello $name
sum $((6 * 7)), $(echo nested)
\$name stays
EOF
cat << 'EOF'
no $expansion `here`
EOF
cat <<- EOF
	tabs
		stripped
	EOF
cat <<< "a here-string with $name"
while read -r a b; do echo "$b $a"; done << EOF
one 1
two 2
three 3
EOF

cat << FIRST
first body
FIRST
cat << SECOND
second body
SECOND

# Larger than a pipe buffer, so that bash must use a temporary file.
big=$(seq 1 30000)
wc -c <<< "$big"
md5sum << EOF
$big
EOF

f() {
    cat << EOF | tr a-z A-Z
in a function: $1
EOF
}
f argument
diff <(cat <<< same) - <<< same && echo equal
bash -s one two << 'EOF'
echo "script from standard input: $# $1 $2"
read -r line
this line is data
echo "read: $line"
EOF
cd / && rm -rf "$dir"
