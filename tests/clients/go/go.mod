module payment-service/tests/clients/go

go 1.26

require github.com/stripe/stripe-go/v86 v86.1.1
