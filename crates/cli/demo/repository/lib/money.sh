# Amounts in whole cents. Sourced, not run.

# tax_of CENTS PERCENT: the tax on an amount, rounded half up.
tax_of() {
    echo $(($1 * $2 / 100))
}

# as_amount CENTS: the amount with two decimals.
as_amount() {
    printf '%d.%02d\n' $(($1 / 100)) $(($1 % 100))
}
