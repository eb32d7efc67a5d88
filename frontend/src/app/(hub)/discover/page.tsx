import { Discover } from "@/features/discover/components/discover";

export const metadata = { title: "Discover" };

export default function DiscoverPage() {
  return <Discover />;
}
