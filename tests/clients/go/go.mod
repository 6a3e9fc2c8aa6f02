module payment-service/tests/clients/go

go 1.26
