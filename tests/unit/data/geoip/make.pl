#!/usr/bin/perl
# Makes the databases of test_filters_geoip.c, from the root of the tree (Debian: libmaxmind-db-writer-perl).
use strict;
use warnings;
use MaxMind::DB::Writer::Tree;

my %types = (
	country => 'map', registered_country => 'map', iso_code => 'utf8_string',
	autonomous_system_number => 'uint32', autonomous_system_organization => 'utf8_string',
);

sub make {
	my ($name, %networks) = @_;
	my $tree = MaxMind::DB::Writer::Tree->new(
		ip_version => 6, record_size => 24, database_type => "Test-$name", languages => ['en'],
		description => { en => 'for tests' }, map_key_type_callback => sub { $types{$_[0]} },
		remove_reserved_networks => 0,
	);
	$tree->insert_network($_, $networks{$_}) for sort keys %networks;
	open my $out, '>:raw', "tests/unit/data/geoip/$name.mmdb" or die "$name.mmdb: $!";
	$tree->write_tree($out);
	close $out or die "$name.mmdb: $!";
}

make('country',
	'192.0.2.0/24' => { country => { iso_code => 'DE' }, registered_country => { iso_code => 'US' } },
	'198.51.100.0/24' => { registered_country => { iso_code => 'FR' } },
	'2001:db8::/32' => { country => { iso_code => 'JP' } });
make('asn', '192.0.2.0/24' => { autonomous_system_number => 64500, autonomous_system_organization => 'Example' });
